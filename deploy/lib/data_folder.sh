# The data folder of one running system: what belongs to it, and that it is ours before anything is written or wiped.
#
# DIR/.embeddedcraft marks it as ours. DIR/postgres and DIR/nats are the servers' folders, DIR/logs what the programs
# log, DIR/run the pid files and the summary that up printed.
# shellcheck shell=bash

# data_folder_open DIR: makes it, or checks that it is ours.
data_folder_open() {
  data_folder_check "$1"
  mkdir -p "$1/logs" "$1/run"
  chmod 711 "$1" # PostgreSQL's user passes through; nobody else looks in
  chmod 700 "$1/logs" "$1/run"
  echo "Data of deploy/up. Delete the folder with: ./deploy/up --fresh, or by hand when nothing runs." >"$1/.embeddedcraft"
}

data_folder_check() {
  if [ -e "$1" ] && [ ! -d "$1" ]; then die "$1 is not a folder"; fi
  if [ -d "$1" ] && [ ! -e "$1/.embeddedcraft" ] && [ -n "$(ls -A "$1")" ]; then
    die "$1 holds other files and is not a data folder of deploy/up (it has no file .embeddedcraft). Choose another with --data."
  fi
}

# data_folder_wipe DIR: deletes all data; refuses a folder that is not ours.
data_folder_wipe() {
  if [ ! -e "$1" ]; then return; fi
  data_folder_check "$1"
  postgres_remove "$1/postgres"
  rm -rf "$1"
}

# data_folder_busy DIR: prints what of this system still runs; fails when nothing does.
data_folder_busy() {
  local dir=$1 file busy=
  for file in "$dir"/run/*.pid; do
    if running_pid "$file" >/dev/null; then busy="$busy $(basename "$file" .pid)"; fi
  done
  if nats_running "$dir/nats"; then busy="$busy nats-server"; fi
  if postgres_running "$dir/postgres"; then busy="$busy PostgreSQL"; fi
  if [ -z "$busy" ]; then return 1; fi
  echo "${busy# }"
}
