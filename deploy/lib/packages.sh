# System packages: root rights and apt. Output of the package manager goes to a log that is shown only on failure.
# shellcheck shell=bash

has() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: directly or through sudo; without a terminal sudo must not ask.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif ! has sudo; then
    return 1
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# apt_install PACKAGE...: fails with the end of apt's output shown.
apt_install() {
  local log
  log=$(mktemp)
  if apt_quietly "$log" update && apt_quietly "$log" install -y --no-install-recommends "$@"; then
    rm -f "$log"
    return 0
  fi
  log_tail "$log" 8
  rm -f "$log"
  return 1
}

apt_quietly() {
  local log=$1
  shift
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null >>"$log" 2>&1
}

# need_curl: for the tests, which run the lines that deploy/up prints.
need_curl() {
  if has curl; then return 0; fi
  note "  installing the package curl"
  if has apt-get && apt_install curl; then return 0; fi
  die "curl is missing, which the tests of the printed commands run. Install it with your system's package manager."
}
