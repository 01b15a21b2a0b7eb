# A private PostgreSQL in a folder: set up, start, stop. Settings are those of production: nothing trades durability.
#
# DIR/data is the cluster, DIR/password and DIR/port its password and port, DIR/archive the folder its WAL is archived into, if any,
# DIR/postgres.log its log, and DIR/data/postmaster.pid (first line) its pid. PostgreSQL refuses to run as root, so root hands the folder to another
# user; where that user cannot get at it (below a closed home folder, say) the cluster lives elsewhere, and DIR/moved-to
# names the place.
# shellcheck shell=bash

POSTGRES_NAME=embeddedcraft # of the database and its owner

# as_postgres COMMAND...: as the user who owns the cluster: ourselves, or if we are root, postgres or nobody.
as_postgres() (
  cd / # a folder that the other user may enter
  if [ "$(id -u)" != 0 ]; then
    exec "$@"
  elif has runuser; then
    exec runuser -u "$(postgres_user)" -- "$@"
  else
    exec sudo -u "$(postgres_user)" "$@"
  fi
)

postgres_user() {
  if [ "$(id -u)" != 0 ]; then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

# postgres_home DIR: where the cluster of DIR lives.
postgres_home() {
  if [ -s "$1/moved-to" ]; then cat "$1/moved-to"; else echo "$1"; fi
}

# postgres_running DIR: is it?
postgres_running() {
  running_pid "$(postgres_home "$1")/data/postmaster.pid" >/dev/null
}

# postgres_url DIR: DATABASE_URL=..., when it runs.
postgres_url() {
  local home
  home=$(postgres_home "$1")
  if ! postgres_running "$1"; then die "no PostgreSQL is running in $1. Start it: ./deploy/postgres start $1"; fi
  echo "DATABASE_URL=postgres://$POSTGRES_NAME:$(cat "$home/password")@127.0.0.1:$(cat "$home/port")/$POSTGRES_NAME"
}

# postgres_archive DIR FOLDER: from its next start on, it archives its WAL into FOLDER.
postgres_archive() {
  local dir=$1 folder=$2 home
  archive_check "$folder"
  postgres_create "$dir"
  home=$(postgres_home "$dir")
  if [ "$(cat "$home/archive" 2>/dev/null)" = "$folder" ]; then return; fi
  if postgres_running "$dir"; then die "the PostgreSQL in $dir is running: stop it first, archiving begins with a start"; fi
  if [ ! -e "$folder" ]; then
    mkdir -p "$folder"
    chmod 700 "$folder"
    if [ "$(id -u)" = 0 ]; then chown "$(postgres_user)" "$folder"; fi
  fi
  if ! as_postgres test -w "$folder"; then die "PostgreSQL's user $(postgres_user) cannot write into $folder"; fi
  echo "$folder" >"$home/archive"
}

# postgres_start DIR [PORT]: starts it on PORT, else the port it had, else a free one. Needs PG_BIN.
postgres_start() {
  local dir=$1 port=${2:-} home attempt
  if postgres_running "$dir"; then
    home=$(postgres_home "$dir")
    if [ -n "$port" ] && [ "$port" != "$(cat "$home/port")" ]; then
      die "the PostgreSQL in $dir is already running, on port $(cat "$home/port"). Stop it first: ./deploy/postgres stop $dir"
    fi
    return
  fi
  if [ -n "$port" ] && port_taken "$port"; then die "port $port, asked for PostgreSQL, is taken"; fi
  postgres_create "$dir"
  home=$(postgres_home "$dir")
  if [ -z "$port" ] && [ -s "$home/port" ] && ! port_taken "$(cat "$home/port")"; then port=$(cat "$home/port"); fi

  postgres_bury "$home"
  for attempt in 1 2 3 4 5 6 7 8 9; do
    local chosen=${port:-$(free_port)} before
    echo "$chosen" >"$home/port"
    postgres_settings "$home" "$chosen"
    before=$(wc -l <"$home/postgres.log")
    # Crash recovery may take its time after a power cut.
    if as_postgres "$PG_BIN/pg_ctl" start -s -w -t 300 -D "$home/data" -l "$home/postgres.log" >/dev/null 2>&1; then return; fi
    case "$attempt $(tail -n "+$((before + 1))" "$home/postgres.log")" in
      [1-8]*'could not bind'*) port='' ;;       # somebody was quicker: another port
      [1-8]*'is still in use'*) sleep 0.5 ;;    # processes of a killed server are still ending
      *) log_tail "$home/postgres.log" 12 && die "PostgreSQL did not start" ;;
    esac
  done
}

# A killed server whose parent does not collect it (PID 1 of many containers) stays a zombie, and PostgreSQL takes the
# pid in its lock file for a living server. Only the pid is replaced, by one that cannot exist: the other lines guard
# against processes that still use the data.
postgres_bury() {
  local lock=$1/data/postmaster.pid pid
  if [ ! -s "$lock" ]; then return; fi
  IFS= read -r pid <"$lock"
  if grep -qs '^State:.*Z' "/proc/$pid/status"; then
    { echo 999999999 && tail -n +2 "$lock"; } >"$1/lock.new"
    cat "$1/lock.new" >"$lock" && rm "$1/lock.new"
  fi
}

# postgres_stop DIR: prints how it ended.
postgres_stop() {
  local home
  home=$(postgres_home "$1")
  if ! postgres_running "$1"; then
    echo "was not running"
  elif as_postgres "$PG_BIN/pg_ctl" stop -s -w -t 60 -m fast -D "$home/data" >/dev/null 2>&1; then
    echo "stopped"
  else
    as_postgres "$PG_BIN/pg_ctl" stop -s -w -t 10 -m immediate -D "$home/data" >/dev/null 2>&1 || true
    echo "did not stop within 60 s: stopped the hard way, which the next start repairs"
  fi
}

# postgres_remove DIR: deletes a stopped cluster, wherever it lives.
postgres_remove() {
  local home
  home=$(postgres_home "$1")
  if [ -e "$home/data/PG_VERSION" ] && [ -e "$home/password" ]; then rm -rf "$home"; fi
  rm -rf "$1"
}

# Makes the cluster and its database, once. It is made beside and then renamed, so a half-made one is never used.
postgres_create() {
  local dir=$1 home major
  home=$(postgres_home "$dir")
  if [ -e "$home/data/PG_VERSION" ]; then
    major=$(cat "$home/data/PG_VERSION")
    if [ "$(postgres_version "$PG_BIN" | cut -d. -f1)" != "$major" ] && ! find_postgres "$major"; then
      die "$dir was made by PostgreSQL $major, which is no longer here ($PG_BIN is $(postgres_version "$PG_BIN")). \
Install PostgreSQL $major again or set PG_BIN to it, or begin with an empty folder."
    fi
    return
  fi
  if [ -d "$dir" ] && ! ls -A "$dir" >/dev/null 2>&1; then die "$dir belongs to another user (was it made as root?)"; fi
  if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ] && [ ! -e "$dir/password" ] && [ ! -e "$dir/moved-to" ]; then
    die "$dir is not empty and not a folder of this command: choose another"
  fi
  mkdir -p "$dir"
  postgres_claim "$dir"
  home=$(postgres_home "$dir")
  (
    umask 077
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$home/password"
  )
  : >"$home/postgres.log"
  if [ "$(id -u)" = 0 ]; then chown "$(postgres_user)" "$home/password" "$home/postgres.log"; fi
  rm -rf "$home/data.new"
  if ! as_postgres "$PG_BIN/initdb" -D "$home/data.new" --username="$POSTGRES_NAME" --pwfile="$home/password" \
    --auth=scram-sha-256 --encoding=UTF8 --no-locale >"$home/initdb.log" 2>&1 ||
    ! echo "CREATE DATABASE $POSTGRES_NAME" | as_postgres "$PG_BIN/postgres" --single -D "$home/data.new" postgres \
      >>"$home/initdb.log" 2>&1; then
    log_tail "$home/initdb.log" 12
    die "a new PostgreSQL cluster could not be made in $home"
  fi
  rm -f "$home/initdb.log"
  mv "$home/data.new" "$home/data"
}

# Gives the folder to the cluster's user, or finds a place that this user can reach.
postgres_claim() {
  local dir=$1 place
  if [ "$(id -u)" != 0 ] || [ -s "$dir/moved-to" ]; then return; fi
  chown "$(postgres_user)" "$dir"
  if as_postgres test -w "$dir"; then return; fi
  mkdir -p /var/lib/embeddedcraft
  chmod 755 /var/lib/embeddedcraft
  place=$(mktemp -d /var/lib/embeddedcraft/postgres-XXXXXX)
  chown "$(postgres_user)" "$place"
  echo "$place" >"$dir/moved-to"
  note "  PostgreSQL must not run as root, and its user $(postgres_user) cannot reach $dir: its data is in $place"
}

# Our whole postgresql.conf, written at each start; what is not here is PostgreSQL's default.
postgres_settings() {
  local home=$1 compression=on
  if as_postgres "$PG_BIN/postgres" -D "$home/data" -c wal_compression=lz4 -C wal_compression >/dev/null 2>&1; then
    compression=lz4
  fi
  cat >"$home/data/postgresql.conf" <<SETTINGS
# Written by deploy/lib/postgres.sh at every start.
listen_addresses = '127.0.0.1'
port = $2
unix_socket_directories = ''
max_connections = 200

# Durability: the programs check these and refuse less.
fsync = on
synchronous_commit = on
full_page_writes = on

shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = $compression
random_page_cost = 1.1
jit = off

timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
SETTINGS
  if [ -s "$home/archive" ]; then archive_settings "$(cat "$home/archive")" >>"$home/data/postgresql.conf"; fi
}
