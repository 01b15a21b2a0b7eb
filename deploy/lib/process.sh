# Background processes: start them out of reach of the terminal's Ctrl-C, recognise and stop them by pid file.
#
# A pid file has the pid on its first line and a word of the process's command line on its second. By the word a pid
# that was given to another program since (after a power cut, say) is told from ours. PostgreSQL writes such a file too.
# shellcheck shell=bash

# launch PID_FILE LOG COMMAND...: in a process group of its own, so that Ctrl-C reaches only the script that started
# it and the order of stopping is kept; hang-ups are ignored, so that a closed terminal leaves a detached one alone.
launch() {
  local pid_file=$1 log=$2
  shift 2
  set -m
  (
    trap '' HUP
    exec "$@"
  ) </dev/null >>"$log" 2>&1 &
  printf '%s\n' $! "${!#}" >"$pid_file" # the last word of the command
  disown $! # its end is ours to report, not the shell's
  set +m
}

# command_line PID: its program and arguments, or nothing.
command_line() {
  if [ -r "/proc/$1/cmdline" ]; then
    { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null || true
  elif command -v ps >/dev/null; then
    ps -o args= -p "$1" 2>/dev/null || true
  fi
}

# pid_in PID_FILE: the pid, dead or alive.
pid_in() {
  head -n 1 "$1"
}

# running_pid PID_FILE: prints the pid when that process is alive and the one that was meant. A zombie has no command
# line: not running.
running_pid() {
  local pid='' word=''
  if [ ! -s "$1" ]; then return 1; fi
  { read -r pid && IFS= read -r word; } <"$1" || true
  if [ -z "$word" ] || ! kill -0 "$pid" 2>/dev/null; then return 1; fi
  case "$(command_line "$pid")" in
    *"$word"*) echo "$pid" ;;
    *) return 1 ;;
  esac
}

# stop_processes SECONDS PID_FILE...: SIGTERM to all at once, wait for all, SIGKILL after SECONDS. Prints how it ended.
stop_processes() {
  local seconds=$1 file pid left ended='was not running' deadline
  shift
  deadline=$(($(now_ms) + seconds * 1000))
  for file in "$@"; do
    if pid=$(running_pid "$file"); then
      kill -TERM "$pid" 2>/dev/null || true
      ended=stopped
    fi
  done
  while :; do
    left=()
    for file in "$@"; do
      if pid=$(running_pid "$file"); then left+=("$pid"); fi
    done
    if [ ${#left[@]} = 0 ]; then break; fi
    if [ "$(now_ms)" -gt "$deadline" ]; then
      kill -KILL "${left[@]}" 2>/dev/null || true
      ended="did not stop within $seconds s: killed"
      break
    fi
    sleep 0.05
  done
  rm -f "$@"
  echo "$ended"
}

# absolute_path PATH: without symbolic links, so that one folder has one name; it need not exist.
absolute_path() {
  local path=$1 rest='' base
  case "$path" in /*) ;; *) path=$PWD/$path ;; esac
  while [ ! -d "$path" ]; do
    rest=/$(basename "$path")$rest
    path=$(dirname "$path")
  done
  base=$(cd "$path" && pwd -P)
  echo "${base%/}$rest"
}
