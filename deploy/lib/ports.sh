# TCP ports and small HTTP requests on 127.0.0.1, with nothing but bash.
# shellcheck shell=bash

# port_taken PORT: does something listen there?
port_taken() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, below the range that outgoing connections are given. Another process can still take it
# before it is used: who starts a server there tries again with another.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 12000))
    if ! port_taken "$port"; then
      echo "$port"
      return
    fi
  done
}

# check_port VALUE OPTION: refuses what is not a port number.
check_port() {
  case "$1" in
    '' | *[!0-9]*) die "$2 needs a port number, got \"$1\"" ;;
  esac
  if [ "$1" -lt 1 ] || [ "$1" -gt 65535 ]; then die "$2 needs a port from 1 to 65535, got $1"; fi
}

# http_request PORT METHOD PATH [BODY [HEADER]]: prints the status code on the first line, then the body.
# Fails when nothing answers within 5 seconds.
http_request() (
  port=$1 method=$2 path=$3 body=${4:-} header=${5:-x-from: deploy}
  { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null || exit 1
  LC_ALL=C
  printf '%s %s HTTP/1.0\r\nhost: 127.0.0.1:%s\r\n%s\r\ncontent-type: application/json\r\ncontent-length: %s\r\n\r\n%s' \
    "$method" "$path" "$port" "$header" "${#body}" "$body" >&3 2>/dev/null || exit 1
  IFS=' ' read -r -t 5 _version status _reason <&3 || exit 1
  while IFS= read -r -t 5 line <&3; do
    line=${line%$'\r'}
    if [ -z "$line" ]; then break; fi
  done
  answer=
  IFS= read -r -t 5 -d '' answer <&3 || true # "failed" because the body ends without a NUL
  printf '%s\n%s' "${status%$'\r'}" "$answer"
)
