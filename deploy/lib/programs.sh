# Our programs on top of the two servers: start them, wait until they are ready, stop everything in order.
#
# The order of stopping is that of the flow: ingest first, so that nothing new arrives; then the workers, which finish
# and hand over; then NATS and PostgreSQL.
# shellcheck shell=bash

READY_SECONDS=90
DRAIN_SECONDS=40

# start_program DIR NAME COMMAND...: NAME names its log and pid file. The log of the run before is kept as NAME.log.old.
start_program() {
  local dir=$1 name=$2 log=$1/logs/$2.log
  shift 2
  if [ -s "$log" ]; then mv "$log" "$log.old"; fi
  launch "$dir/run/$name.pid" "$log" "$@"
}

# wait_ready DIR NAME PORT: until /readyz answers 200; else says why and ends the script.
wait_ready() {
  local dir=$1 name=$2 port=$3 answer='' deadline
  deadline=$(($(now_ms) + READY_SECONDS * 1000))
  while :; do
    if ! kill -0 "$(pid_in "$dir/run/$name.pid")" 2>/dev/null; then
      log_tail "$dir/logs/$name.log" 15
      die "$name ended while it was starting"
    fi
    answer=$(http_request "$port" GET /readyz || true)
    if [ "${answer%%$'\n'*}" = 200 ]; then return; fi
    if [ "$(now_ms)" -gt "$deadline" ]; then
      log_tail "$dir/logs/$name.log" 15
      die "$name is not ready after $READY_SECONDS s. It says: ${answer:-nothing on port $port}"
    fi
    sleep 0.05
  done
}

# stop_everything DIR: in order, with a line for each. Does nothing for what does not run.
stop_everything() {
  local dir=$1
  stop_kind ingest "$dir/run/ingest.pid"
  stop_kind worker "$dir"/run/worker-*.pid
  if nats_running "$dir/nats"; then
    step "Stop nats-server"
    ok "$(nats_stop "$dir/nats")"
  fi
  if postgres_running "$dir/postgres"; then
    step "Stop PostgreSQL"
    ok "$(postgres_stop "$dir/postgres")"
  fi
  rm -f "$dir/run/summary"
}

stop_kind() {
  local kind=$1
  shift
  if [ -e "$1" ]; then
    step "Stop $kind"
    ok "$(stop_processes "$DRAIN_SECONDS" "$@")"
  fi
}
