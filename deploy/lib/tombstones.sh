# Who was erased, beside each backup: an older backup brings erased people back, and this list takes them out again.
# shellcheck shell=bash

# tombstones_export FILE
tombstones_export() { :; }

# tombstones_newest DIR: the newest list among the backups in it, if there is one.
tombstones_newest() {
  local folder newest=''
  while IFS= read -r folder; do
    if [ -e "$folder/tombstones.jsonl" ]; then newest=$folder/tombstones.jsonl; fi
  done < <(backups_in "$1")
  echo "$newest"
}

# tombstones_import FILE
tombstones_import() { :; }
