# Private NATS servers with JetStream in a folder, one or a cluster of three: configure, start, stop. Every message is
# fsynced before its answer.
#
# A server's home has nats.conf, its configuration, jetstream, its data, nats.log, nats.pid, ports (for clients, for
# monitoring, and in a cluster for the other servers), and max_file_bytes, the size its streams may have together. The
# home of a single server is DIR itself; a cluster has DIR/servers, their number, and the homes DIR/1, DIR/2, DIR/3.
# shellcheck shell=bash

# nats_running DIR: is a server of it?
nats_running() {
  local home
  while IFS= read -r home; do
    if running_pid "$home/nats.pid" >/dev/null; then return 0; fi
  done < <(nats_homes "$1")
  return 1
}

# nats_homes DIR: the home of each server.
nats_homes() {
  local number
  if [ ! -s "$1/servers" ]; then
    echo "$1"
  else
    for ((number = 1; number <= $(cat "$1/servers"); number++)); do echo "$1/$number"; done
  fi
}

# nats_servers DIR [COUNT]: prints how many servers it is for: COUNT if it is new, 1 if COUNT is missing. A folder that
# is for another number is refused: the copies of a stream cannot follow.
nats_servers() {
  local had=''
  if [ -s "$1/servers" ]; then had=$(cat "$1/servers"); elif [ -e "$1/max_file_bytes" ]; then had=1; fi
  if [ -n "$had" ] && [ "${2:-$had}" != "$had" ]; then
    die "$1 is the folder of $had nats-server(s), not of $2: choose another folder, or go on with $had"
  fi
  echo "${had:-${2:-1}}"
}

# nats_url DIR: the settings for it, when it runs.
nats_url() {
  local home port monitor urls='' monitors=''
  if ! nats_running "$1"; then die "no nats-server is running in $1. Start it: ./deploy/nats start $1"; fi
  while IFS= read -r home; do
    read -r port monitor _ <"$home/ports"
    urls=$urls,nats://127.0.0.1:$port
    monitors=$monitors,http://127.0.0.1:$monitor
  done < <(nats_homes "$1")
  echo "NATS_URL=${urls#,}"
  if [ -s "$1/servers" ]; then
    echo "NATS_MONITOR_URLS=${monitors#,}"
    echo "STREAM_REPLICAS=$(cat "$1/servers")"
  else
    echo "NATS_MONITOR_URL=${monitors#,}"
  fi
}

# nats_start DIR [SERVERS [PORT [MONITOR_PORT]]]: what of it does not run. On these ports, else those it had, else free
# ones; a cluster's are always free ones at first. Needs NATS_SERVER.
nats_start() {
  local servers
  servers=$(nats_servers "$1" "${2:-}") || exit
  if [ "$servers" = 1 ]; then nats_start_one "$1" "${3:-}" "${4:-}"; else nats_start_cluster "$1" "$servers"; fi
}

nats_start_one() {
  local dir=$1 port=${2:-} monitor=${3:-} had_port='' had_monitor='' attempt
  if [ -s "$dir/ports" ]; then read -r had_port had_monitor <"$dir/ports"; fi
  if nats_running "$dir"; then
    if [ "${port:-$had_port}" != "$had_port" ] || [ "${monitor:-$had_monitor}" != "$had_monitor" ]; then
      die "the nats-server in $dir is already running, on ports $had_port and $had_monitor. Stop it first: ./deploy/nats stop $dir"
    fi
    return
  fi
  local asked
  for asked in $port $monitor; do
    if port_taken "$asked"; then die "port $asked, asked for NATS, is taken"; fi
  done
  nats_create "$dir" 1
  if [ -n "$had_port" ] && ! port_taken "$had_port"; then port=${port:-$had_port}; fi
  if [ -n "$had_monitor" ] && ! port_taken "$had_monitor"; then monitor=${monitor:-$had_monitor}; fi

  for attempt in 1 2 3 4 5; do
    local chosen=${port:-$(free_port)} chosen_monitor=${monitor:-$(free_port)}
    if [ "$chosen" = "$chosen_monitor" ]; then chosen_monitor=$(free_port); fi
    echo "$chosen $chosen_monitor" >"$dir/ports"
    nats_settings "$dir" "$chosen" "$chosen_monitor" >"$dir/nats.conf"
    nats_launch "$dir"
    if nats_wait "$dir"; then return; fi
    nats_retry "$dir" "$attempt"
    port='' monitor='' # somebody was quicker: others
  done
}

# Once chosen, its ports stay: the servers that run know each other by them.
nats_start_cluster() {
  local dir=$1 servers=$2 attempt home new=''
  if [ ! -s "$dir/servers" ]; then
    new=1
    if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then die "$dir is not empty and not a folder of this command: choose another"; fi
    mkdir -p "$dir"
    echo "$servers" >"$dir/servers"
  fi
  for attempt in 1 2 3 4 5; do
    local homes=() started=() failed=''
    while IFS= read -r home; do
      homes+=("$home")
      nats_create "$home" "$servers"
      if [ ! -s "$home/ports" ]; then echo "$(free_port) $(free_port) $(free_port)" >"$home/ports"; fi
    done < <(nats_homes "$dir")
    for home in "${homes[@]}"; do
      if running_pid "$home/nats.pid" >/dev/null; then continue; fi
      local port monitor route
      read -r port monitor route <"$home/ports"
      {
        nats_settings "$home" "$port" "$monitor"
        nats_cluster_settings "$dir" "$route"
      } >"$home/nats.conf"
      nats_launch "$home"
      started+=("$home")
    done
    for home in ${started[@]+"${started[@]}"}; do
      if ! nats_wait "$home"; then failed=$home && break; fi
    done
    if [ -z "$failed" ]; then return; fi
    if [ -z "$new" ]; then attempt=5; fi
    nats_stop "$dir" >/dev/null
    nats_retry "$failed" "$attempt"
    for home in "${homes[@]}"; do rm -f "$home/ports"; done
  done
}

# nats_launch HOME: what it logs from here on is told from what it logged before by the size in HOME/log_before.
nats_launch() {
  touch "$1/nats.log"
  wc -l <"$1/nats.log" >"$1/log_before"
  launch "$1/nats.pid" "$1/nats.log" "$NATS_SERVER" -c "$1/nats.conf"
}

# nats_retry HOME ATTEMPT: after a server has ended: another attempt may help, or the script ends here.
nats_retry() {
  if [ "$2" = 5 ] || ! tail -n "+$(($(cat "$1/log_before") + 1))" "$1/nats.log" | grep -q 'address already in use'; then
    log_tail "$1/nats.log" 12
    die "nats-server did not start"
  fi
}

# nats_stop DIR [NUMBER]: all of it, or one server of a cluster. Prints how it ended.
nats_stop() {
  local home files=()
  if [ -n "${2:-}" ]; then
    if [ ! -s "$1/$2/nats.conf" ]; then die "$1 has no server $2"; fi
    stop_processes 30 "$1/$2/nats.pid"
    return
  fi
  while IFS= read -r home; do files+=("$home/nats.pid"); done < <(nats_homes "$1")
  stop_processes 30 "${files[@]}"
}

# nats_wait HOME: until JetStream has recovered its streams and, in a cluster, has caught up with the others; fails when
# the process ends before that.
nats_wait() {
  local answer name monitor
  name=$(nats_name "$1")
  read -r _ monitor _ <"$1/ports"
  while kill -0 "$(pid_in "$1/nats.pid")" 2>/dev/null; do
    answer=$(http_request "$monitor" GET /healthz || true)
    if [ "${answer%%$'\n'*}" = 200 ]; then
      # Another server may have been quicker at this port: then ours is about to end.
      case "$(http_request "$monitor" GET /varz || true)" in *"\"$name\""*) return 0 ;; esac
    fi
    sleep 0.05
  done
  return 1
}

# nats_name FOLDER: the name of a server or a cluster, one for each folder.
nats_name() {
  echo "embeddedcraft-$(printf %s "$1" | cksum | cut -d' ' -f1)"
}

# nats_create HOME SERVERS: so many share the volume.
nats_create() {
  local dir=$1 free_kib
  if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ] && [ ! -e "$dir/max_file_bytes" ]; then
    die "$dir is not empty and not a folder of this command: choose another"
  fi
  mkdir -p "$dir"
  if [ ! -s "$dir/max_file_bytes" ]; then
    # Decided once: a later, smaller limit would refuse streams that are already there.
    free_kib=$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')
    echo $((free_kib * 1024 * 6 / 10 / $2)) >"$dir/max_file_bytes"
  fi
}

# nats_settings HOME PORT MONITOR_PORT: prints them. Durations are quoted because the server misreads bare ones.
nats_settings() {
  local dir=$1
  cat <<SETTINGS
# Written by deploy/lib/nats.sh at every start.
server_name: "$(nats_name "$dir")"
listen: "127.0.0.1:$2"
http: "127.0.0.1:$3"
max_payload: 8MB
ping_interval: "20s"

jetstream {
  store_dir: "$dir" # in its folder jetstream
  # Every message is on the disk before it is acknowledged. The default forgets minutes of them in a power cut.
  sync_interval: always
  max_memory_store: 256MB
  # 60 % of what was free on the volume when this folder was made, shared by all servers on it.
  max_file_store: $(cat "$dir/max_file_bytes")
}
SETTINGS
}

# nats_cluster_settings DIR ROUTE_PORT: prints what a server of a cluster has besides. It finds itself among the routes
# and lets go.
nats_cluster_settings() {
  local home route
  cat <<SETTINGS

cluster {
  name: "$(nats_name "$1")"
  listen: "127.0.0.1:$2"
  routes: [
SETTINGS
  while IFS= read -r home; do
    read -r _ _ route <"$home/ports"
    echo "    \"nats://127.0.0.1:$route\""
  done < <(nats_homes "$1")
  cat <<SETTINGS
  ]
}
SETTINGS
}
