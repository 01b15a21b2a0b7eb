# Version numbers and where a program really is.
# shellcheck shell=bash

MIN_POSTGRES=15
MIN_NATS=2.15.1

# version_at_least HAVE WANT: compares dotted numbers; letters and what follows a dash do not count.
version_at_least() {
  local have=${1#v} want=${2#v} part
  have=${have%%[!0-9.]*}
  want=${want%%[!0-9.]*}
  if [ -z "$have" ]; then return 1; fi
  for part in 1 2 3; do
    local h w
    h=$(echo "$have..." | cut -d. -f"$part")
    w=$(echo "$want..." | cut -d. -f"$part")
    if [ "${h:-0}" -gt "${w:-0}" ]; then return 0; fi
    if [ "${h:-0}" -lt "${w:-0}" ]; then return 1; fi
  done
}

# real_folder FILE: the folder of a file, symbolic links followed.
real_folder() {
  local file=$1 target
  while [ -L "$file" ]; do
    target=$(readlink "$file")
    case "$target" in
      /*) file=$target ;;
      *) file=$(dirname "$file")/$target ;;
    esac
  done
  (cd "$(dirname "$file")" && pwd -P)
}

# postgres_version FOLDER: "15.18", or nothing when the server is not there.
postgres_version() {
  if [ -x "$1/postgres" ] && [ -x "$1/initdb" ] && [ -x "$1/pg_ctl" ]; then
    "$1/postgres" --version 2>/dev/null | sed -n 's/^postgres (PostgreSQL) \([0-9.]*\).*/\1/p'
  fi
}

# nats_version FILE: "2.15.1", or nothing.
nats_version() {
  if [ -x "$1" ]; then
    "$1" --version 2>/dev/null | sed -n 's/^nats-server: v\{0,1\}\([0-9.]*\).*/\1/p'
  fi
}
