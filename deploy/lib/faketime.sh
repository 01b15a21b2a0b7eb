# libfaketime, by which deploy/chaos gives programs a wrong clock: from the system, else unpacked from the distribution's package into
# the tool folder. Without it the fault `clock` is skipped by name.
# shellcheck shell=bash

# find_faketime TOOLS: exports EC_FAKETIME_LIBRARY when there is one.
find_faketime() {
  local tools=$1 library
  for library in "$tools"/faketime/usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/*/faketime/libfaketimeMT.so.1; do
    if [ -e "$library" ]; then
      export EC_FAKETIME_LIBRARY=$library
      return 0
    fi
  done
  if ! has apt-get || ! has dpkg; then return 0; fi
  local folder
  folder=$(mktemp -d)
  if { (cd "$folder" && apt-get -q download libfaketime) || { as_root apt-get -q update && (cd "$folder" && apt-get -q download libfaketime); }; } \
    </dev/null >"$folder/log" 2>&1; then
    mkdir -p "$tools"
    dpkg -x "$folder"/libfaketime_*.deb "$tools/faketime"
    EC_FAKETIME_LIBRARY=$(echo "$tools"/faketime/usr/lib/*/faketime/libfaketimeMT.so.1)
    export EC_FAKETIME_LIBRARY
  fi
  rm -rf "$folder"
}
