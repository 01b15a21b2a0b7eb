# Backups as folders: what is in one, how it is checked, and the table `backups` that knows of them.
#
# DIR is a folder of backups (marked by DIR/.backups). In it, one folder per backup, named KIND-TIME-ID, which exists whole or not
# at all (it is made as .new-… and renamed):
#   manifest          KEY=value lines; its SHA-256 is in the table
#   database.dump     of a dump: pg_dump's custom format
#   data/             of a base backup: the server's data folder, with backup_manifest (SHA-256 of each file)
#   tombstones.jsonl  who was erased until then, if anybody was
# shellcheck shell=bash

BACKUP_HOST=${BACKUP_HOST:-$(hostname)} # set it where the host's name changes, as in containers
GIVEN_PG_BIN=${PG_BIN:-}

# need_database: sets OWNER_URL (DATABASE_URL without its password, which goes by the environment: process lists show arguments).
need_database() {
  if [ -z "${DATABASE_URL:-}" ]; then die "DATABASE_URL is not set: the owner's address of the database"; fi
  if ! database_url_parts "$DATABASE_URL"; then die "DATABASE_URL is not of the form postgres://owner:password@host:port/database"; fi
  need_psql
  OWNER_URL=$URL_SCHEME://$URL_USER@$URL_REST
  export PGPASSWORD=$URL_PASSWORD
}

# sql [VARIABLE=VALUE]...: runs standard input; :'variable' in it is the value, quoted.
sql() {
  local arguments=() pair
  for pair in "$@"; do arguments+=(-v "$pair"); done
  "$PSQL" -X -q -At -v ON_ERROR_STOP=1 ${arguments[@]+"${arguments[@]}"} "$OWNER_URL"
}

# owner_url: OWNER_URL with its password.
owner_url() {
  local password
  password=$(percent_encoded "$PGPASSWORD")
  echo "$URL_SCHEME://$URL_USER:$password@${OWNER_URL#*@}"
}

# find_worker: sets WORKER, the program.
find_worker() {
  local path
  for path in "${WORKER:-}" "${EC_BIN_DIR:+$EC_BIN_DIR/worker}" "$ROOT/target/release/worker" "$ROOT/target/debug/worker"; do
    if [ -n "$path" ] && [ -x "$path" ]; then
      WORKER=$path
      return
    fi
  done
  return 1
}

# run_worker ARGUMENTS...: in the database of OWNER_URL. It reads all settings; these commands ask only the database.
run_worker() {
  local url
  url=$(owner_url)
  DATABASE_URL=$url NATS_URL=${NATS_URL:-nats://unused} LOG_LEVEL=${LOG_LEVEL:-warn} "$WORKER" "$@" >&2
}

# need_backups_table: the database has our schema, with the table.
need_backups_table() {
  local found
  found=$(sql <<<"SELECT to_regclass('public.backups')") || die "the database cannot be asked (see above)"
  if [ -z "$found" ]; then die "this database has no table of backups: run \`worker migrate\` and ./deploy/roles first"; fi
}

# client_program NAME: the path of one of PostgreSQL's client programs. It must not be older than the server, SERVER_MAJOR.
client_program() {
  local name=$1 path='' major
  if [ -n "$GIVEN_PG_BIN" ]; then
    path=$GIVEN_PG_BIN/$name
    if [ ! -x "$path" ]; then die "PG_BIN=$GIVEN_PG_BIN has no $name. Correct or unset PG_BIN."; fi
  elif find_postgres "${SERVER_MAJOR:-}" && [ -x "$PG_BIN/$name" ]; then
    path=$PG_BIN/$name
  elif has "$name"; then
    path=$(command -v "$name")
  else
    die "$name is missing. Install PostgreSQL's programs of version ${SERVER_MAJOR:-$MIN_POSTGRES} or set PG_BIN to their folder."
  fi
  major=$("$path" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
  if [ -n "${SERVER_MAJOR:-}" ] && [ "$major" -lt "$SERVER_MAJOR" ]; then
    die "$path is of version $major and the server of version $SERVER_MAJOR: install that version or set PG_BIN to its folder"
  fi
  echo "$path"
}

# sha256 FILE
sha256() {
  if has sha256sum; then sha256sum <"$1" | cut -d' ' -f1; else shasum -a 256 <"$1" | cut -d' ' -f1; fi
}

# to_disk PATH...: waits until these are on the disk. (macOS' sync takes no names and writes everything.)
to_disk() { sync "$@" 2>/dev/null || sync; }

# bytes_in PATH: what it takes.
bytes_in() { echo $(($(du -sk "$1" | cut -f1) * 1024)); }

# manifest_value BACKUP KEY
manifest_value() { sed -n "s/^$2=//p" "$1/manifest"; }

# backups_open DIR [make]: checks that DIR is a folder of backups; with make, makes it one if it is empty or not there.
backups_open() {
  if [ -e "$1/.backups" ]; then return; fi
  if [ -z "${2:-}" ]; then die "$1 is not a folder of backups (it has no file .backups). Is its disk mounted?"; fi
  if [ -e "$1" ] && [ -n "$(ls -A "$1")" ]; then die "$1 holds other files: give backups a folder of their own"; fi
  mkdir -p "$1" || die "$1 cannot be made"
  chmod 700 "$1"
  echo "Backups of deploy/backup." >"$1/.backups"
}

# backups_in DIR: the folders of the backups in it, oldest first.
backups_in() {
  local manifest
  for manifest in "$1"/*/manifest; do
    if [ -e "$manifest" ]; then echo "$(sed -n 's/^taken_at=//p' "$manifest") $(dirname "$manifest")"; fi
  done | sort | cut -d' ' -f2-
}

# backup_check BACKUP: is it whole and unchanged?
backup_check() {
  local folder=$1 kind
  if [ ! -e "$folder/manifest" ]; then die "$folder is not a backup (it has no file manifest)"; fi
  kind=$(manifest_value "$folder" kind)
  step "Checking $(basename "$folder")"
  case "$kind" in
    dump)
      if [ "$(sha256 "$folder/database.dump")" != "$(manifest_value "$folder" sha256)" ]; then
        die "$folder/database.dump is not what was saved (its SHA-256 differs): the backup is damaged. Take another."
      fi
      ;;
    base)
      if [ "$(sha256 "$folder/data/backup_manifest")" != "$(manifest_value "$folder" sha256)" ]; then
        die "$folder/data/backup_manifest is not what was saved (its SHA-256 differs): the backup is damaged. Take another."
      fi
      SERVER_MAJOR=$(manifest_value "$folder" server)
      SERVER_MAJOR=${SERVER_MAJOR%%.*}
      local verify
      verify=$(client_program pg_verifybackup)
      "$verify" -q "$folder/data" >&2 || die "$folder/data is not what was saved (see above): the backup is damaged. Take another."
      ;;
    *) die "$folder/manifest names no known kind of backup: \"$kind\"" ;;
  esac
  ok
}

# backups_register DIR: makes the table agree with the folder: what is here and unknown there (after a restore) is added, and what
# is gone from here, or was given up a day ago, is marked.
backups_register() {
  local dir=$1 folder row id location added=0 gone=0
  while IFS= read -r folder; do
    id=$(manifest_value "$folder" id)
    row=$(sql "id=$id" "kind=$(manifest_value "$folder" kind)" "taken_at=$(manifest_value "$folder" taken_at)" \
      "finished_at=$(manifest_value "$folder" finished_at)" "location=$BACKUP_HOST:$folder" "bytes=$(manifest_value "$folder" bytes)" \
      "checksum=$(sha256 "$folder/manifest")" "schema=$(manifest_value "$folder" schema)" \
      "positions=$(manifest_value "$folder" positions)" <<'SQL'
INSERT INTO backups AS b (id, kind, taken_at, finished_at, location, bytes, checksum, schema_version, positions)
VALUES (:'id', :'kind', :'taken_at', :'finished_at', :'location', :'bytes', :'checksum', :'schema', :'positions')
ON CONFLICT (id) DO UPDATE SET finished_at = excluded.finished_at, location = excluded.location, bytes = excluded.bytes,
                               checksum = excluded.checksum, removed_at = NULL
 WHERE (b.finished_at, b.location, b.checksum) IS DISTINCT FROM (excluded.finished_at, excluded.location, excluded.checksum)
    OR b.removed_at IS NOT NULL
RETURNING 1
SQL
    ) || die "$folder could not be registered (see above)"
    added=$((added + ${row:-0}))
  done < <(backups_in "$dir")
  while IFS='|' read -r id location; do
    if [ -e "$dir/${location##*/}/manifest" ]; then continue; fi
    backup_removed "$id"
    gone=$((gone + 1))
  done < <(sql "here=$BACKUP_HOST:$dir/" <<'SQL'
SELECT id, location FROM backups WHERE removed_at IS NULL AND finished_at IS NOT NULL AND starts_with(location, :'here')
SQL
  )
  # Of attempts that were killed.
  while IFS= read -r id; do
    rm -rf "$dir"/.new-*-"${id%%-*}"
    backup_removed "$id"
    gone=$((gone + 1))
  done < <(sql "here=$BACKUP_HOST:$dir" <<'SQL'
SELECT id FROM backups
 WHERE removed_at IS NULL AND finished_at IS NULL AND location = :'here' AND taken_at < clock_timestamp() - interval '1 day'
SQL
  )
  if [ "$added" != 0 ] || [ "$gone" != 0 ]; then note "  registered $added, marked $gone as gone"; fi
}

# backup_removed ID: its files are gone.
backup_removed() {
  sql "id=$1" <<<"UPDATE backups SET removed_at = clock_timestamp() WHERE id = :'id' AND removed_at IS NULL"
}
