# A private NATS server with JetStream in a folder: configure, start, stop. Every message is fsynced before its answer.
#
# DIR/nats.conf is its configuration, DIR/jetstream its data, DIR/nats.log its log, DIR/nats.pid its pid, DIR/ports its
# two ports, and DIR/max_file_bytes the size its streams may have together.
# shellcheck shell=bash

# nats_running DIR: is it?
nats_running() {
  running_pid "$1/nats.pid" >/dev/null
}

# nats_url DIR: NATS_URL=... and NATS_MONITOR_URL=..., when it runs.
nats_url() {
  local port monitor
  if ! nats_running "$1"; then die "no nats-server is running in $1. Start it: ./deploy/nats start $1"; fi
  read -r port monitor <"$1/ports"
  echo "NATS_URL=nats://127.0.0.1:$port"
  echo "NATS_MONITOR_URL=http://127.0.0.1:$monitor"
}

# nats_start DIR [PORT [MONITOR_PORT]]: on these ports, else those it had, else free ones. Needs NATS_SERVER.
nats_start() {
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
  nats_create "$dir"
  if [ -n "$had_port" ] && ! port_taken "$had_port"; then port=${port:-$had_port}; fi
  if [ -n "$had_monitor" ] && ! port_taken "$had_monitor"; then monitor=${monitor:-$had_monitor}; fi

  for attempt in 1 2 3 4 5; do
    local chosen=${port:-$(free_port)} chosen_monitor=${monitor:-$(free_port)}
    if [ "$chosen" = "$chosen_monitor" ]; then chosen_monitor=$(free_port); fi
    echo "$chosen $chosen_monitor" >"$dir/ports"
    nats_settings "$dir" "$chosen" "$chosen_monitor"
    local before
    touch "$dir/nats.log"
    before=$(wc -l <"$dir/nats.log")
    launch "$dir/nats.pid" "$dir/nats.log" "$NATS_SERVER" -c "$dir/nats.conf"
    if nats_wait "$dir" "$chosen_monitor"; then return; fi
    if [ "$attempt" = 5 ] || ! tail -n "+$((before + 1))" "$dir/nats.log" | grep -q 'address already in use'; then
      log_tail "$dir/nats.log" 12
      die "nats-server did not start"
    fi
    port='' monitor='' # somebody was quicker: others
  done
}

# nats_stop DIR: prints how it ended.
nats_stop() {
  stop_processes 30 "$1/nats.pid"
}

# nats_wait DIR MONITOR_PORT: until JetStream has recovered its streams; fails when the process ends before that.
nats_wait() {
  local answer name
  name=$(nats_name "$1")
  while kill -0 "$(pid_in "$1/nats.pid")" 2>/dev/null; do
    answer=$(http_request "$2" GET /healthz || true)
    if [ "${answer%%$'\n'*}" = 200 ]; then
      # Another server may have been quicker at this port: then ours is about to end.
      case "$(http_request "$2" GET /varz || true)" in *"\"$name\""*) return 0 ;; esac
    fi
    sleep 0.05
  done
  return 1
}

# nats_name DIR: the server's name, one for each folder.
nats_name() {
  echo "embeddedcraft-$(printf %s "$1" | cksum | cut -d' ' -f1)"
}

nats_create() {
  local dir=$1 free_kib
  if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ] && [ ! -e "$dir/max_file_bytes" ]; then
    die "$dir is not empty and not a folder of this command: choose another"
  fi
  mkdir -p "$dir"
  if [ ! -s "$dir/max_file_bytes" ]; then
    # Decided once: a later, smaller limit would refuse streams that are already there.
    free_kib=$(df -Pk "$dir" | awk 'NR == 2 { print $4 }')
    echo $((free_kib * 1024 * 6 / 10)) >"$dir/max_file_bytes"
  fi
}

# Durations are quoted because the server misreads bare ones.
nats_settings() {
  local dir=$1
  cat >"$dir/nats.conf" <<SETTINGS
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
  # 60 % of what was free on the volume when this folder was made.
  max_file_store: $(cat "$dir/max_file_bytes")
}
SETTINGS
}
