# A database URL in parts, and a client to use it with.
# shellcheck shell=bash

# database_url_parts URL: sets URL_SCHEME, URL_USER (as written), URL_PASSWORD (decoded) and URL_REST (host, port, database and
# parameters); fails when it is not postgres://user[:password]@host…
database_url_parts() {
  local login
  case "$1" in postgres://*@* | postgresql://*@*) ;; *) return 1 ;; esac
  URL_SCHEME=${1%%://*}
  login=${1#*://}
  URL_REST=${login##*@}
  login=${login%@*}
  URL_USER=${login%%:*}
  URL_PASSWORD=
  case "$login" in *:*) URL_PASSWORD=$(percent_decoded "${login#*:}") ;; esac
  [ -n "$URL_USER" ] && [ -n "$URL_REST" ]
}

percent_decoded() {
  local text=${1//\\/\\\\}
  printf '%b' "${text//%/\\x}"
}

percent_encoded() {
  local text=$1 LC_ALL=C i char
  for ((i = 0; i < ${#text}; i++)); do
    char=${text:i:1}
    case "$char" in
      [a-zA-Z0-9._~-]) printf '%s' "$char" ;;
      *) printf '%%%02X' "'$char" ;;
    esac
  done
}

# need_psql: PSQL is set afterwards, or the script ends with a message.
need_psql() {
  if has psql; then
    PSQL=psql
  elif { [ -n "${PG_BIN:-}" ] || find_postgres; } && [ -x "$PG_BIN/psql" ]; then
    PSQL=$PG_BIN/psql
  else
    die "psql is missing, the client of PostgreSQL. Install it (Debian, Ubuntu: apt-get install postgresql-client)."
  fi
}
