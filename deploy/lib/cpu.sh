# CPU time of processes, from /proc (Linux).
# shellcheck shell=bash

# cpu_ticks PID...: user and system time of these processes and of the children they have reaped, in clock ticks.
cpu_ticks() {
  local pid sum=0 stat fields
  for pid in "$@"; do
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    read -ra fields <<<"${stat##*) }" # from the state on: the name before it may hold anything
    sum=$((sum + fields[11] + fields[12] + fields[13] + fields[14]))
  done
  echo "$sum"
}

# family PID: the process and its children.
family() {
  local stat
  echo "$1"
  for stat in /proc/[0-9]*/stat; do
    awk -v parent="$1" '{ pid = $1; sub(/^.*\) /, ""); if ($2 == parent) print pid }' "$stat" 2>/dev/null || true
  done
}
