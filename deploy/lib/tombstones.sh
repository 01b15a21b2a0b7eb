# Who was erased, beside each backup: an older backup brings erased people back, and the newest list takes them out again. The list
# holds hashes and their salt. `worker erasures tombstones` writes and reads it.
# shellcheck shell=bash

# has_tombstones: has the database of `sql` anybody to tell of?
has_tombstones() {
  if [ -z "$(sql <<<"SELECT to_regclass('public.tombstones')")" ]; then return 1; fi
  [ "$(sql <<<'SELECT count(*) FROM (SELECT FROM erasures LIMIT 1) e')" != 0 ]
}

# worker_tombstones export|import FILE
worker_tombstones() { run_worker erasures tombstones "$1" "$2"; }

# tombstones_export FILE
tombstones_export() {
  if ! has_tombstones; then return; fi
  if ! find_worker; then
    die "people were erased from this database, and the list of them must lie beside each backup: set WORKER to the program worker"
  fi
  step "List of erased people"
  step_break
  worker_tombstones export "$1" || die "the list of erased people could not be written (see above)"
  to_disk "$1"
}

# tombstones_newest DIR: the newest list among the backups in it, if there is one.
tombstones_newest() {
  local folder newest=''
  while IFS= read -r folder; do
    if [ -e "$folder/tombstones.jsonl" ]; then newest=$folder/tombstones.jsonl; fi
  done < <(backups_in "$1")
  echo "$newest"
}

# tombstones_check FILE: with a list, the program that reads it is needed. Before anything is restored.
tombstones_check() {
  if [ -n "$1" ] && ! find_worker; then
    die "$1 lists people who were erased, and worker is needed to take them out of what is restored: set WORKER to the program"
  fi
}

# tombstones_import FILE
tombstones_import() {
  if [ -z "$1" ]; then
    if has_tombstones; then note "  No list of erased people: those erased since this backup are back. Erase them again."; fi
    return
  fi
  step "Erasing again who was erased since, by $1"
  step_break
  worker_tombstones import "$1" ||
    die "the list of erased people could not be applied (see above): keep the programs stopped and run ./deploy/restore finish"
}
