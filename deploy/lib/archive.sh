# Archiving of write-ahead log (WAL): settings that copy each finished segment into a folder, and back when a server is restored.
# shellcheck shell=bash

# archive_check FOLDER: its name goes into commands that PostgreSQL runs.
archive_check() {
  case "$1" in
    *[!a-zA-Z0-9/._@+,=-]*) die "\"$1\" cannot be a folder of archived WAL: only letters, digits and . _ @ + , = - in its path" ;;
  esac
}

# archive_settings FOLDER: lines for postgresql.conf. A segment counts as archived only when it is on the disk whole; another one of
# the same name is never overwritten (two servers that archive into one folder would spoil both), but the same one may come again
# after a crash. The end of a segment that was not full is zeros, which take no room.
archive_settings() {
  cat <<SETTINGS
archive_mode = on
archive_command = '{ cmp -s "%p" "$1/%f" || { dd if="%p" of="$1/.%f.part" bs=1M conv=sparse,fsync 2>/dev/null && ln "$1/.%f.part" "$1/%f" && rm "$1/.%f.part"; }; } && sync "$1"'
archive_timeout = 60
SETTINGS
}

# restore_command FOLDER...: fetches a segment from the first folder that has it.
restore_command() {
  local folder command=
  for folder in "$@"; do command="$command${command:+ || }cp \"$folder/%f\" \"%p\" 2>/dev/null"; done
  echo "$command"
}
