# A standby of a private PostgreSQL, in a folder of its own: a copy that follows it by streaming, and can be read.
# shellcheck shell=bash

# postgres_standby DIR OF: copies the running cluster of the folder OF into DIR, if DIR is new, and starts it. Needs PG_BIN.
postgres_standby() {
  local dir=$1 of home
  of=$(postgres_home "$2")
  home=$(postgres_home "$dir")
  if [ ! -e "$home/data/PG_VERSION" ]; then
    if ! postgres_running "$2"; then die "no PostgreSQL is running in $2. Start it: ./deploy/postgres start $2"; fi
    if [ -d "$dir" ] && [ -n "$(ls -A "$dir")" ]; then die "$dir is not empty: choose another folder"; fi
    mkdir -p "$dir"
    postgres_claim "$dir"
    home=$(postgres_home "$dir")
    cp -p "$of/password" "$home/password"
    as_postgres touch "$home/postgres.log"
    # -R makes it a standby, and notes where its primary is.
    PGPASSWORD=$(cat "$of/password") as_postgres "$PG_BIN/pg_basebackup" -h 127.0.0.1 -p "$(cat "$of/port")" \
      -U "$POSTGRES_NAME" -D "$home/data.new" -R -X stream -c fast || die "the PostgreSQL in $2 could not be copied (see above)"
    mv "$home/data.new" "$home/data"
  fi
  postgres_start "$dir"
}
