# Finds the folder of PostgreSQL's server programs, or installs them, and leaves it in PG_BIN.
# shellcheck shell=bash

POSTGRES_HINT="Install it with your system's package manager and set PG_BIN to the folder that holds initdb, postgres and pg_ctl."

# Folders where the server may be, best first: PATH, then the newest of what packages install outside of it.
postgres_folders() {
  if has initdb; then real_folder "$(command -v initdb)"; fi
  local folder
  for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
    /usr/local/opt/postgresql@*/bin; do
    if [ -x "$folder/initdb" ]; then echo "$folder"; fi
  done | sort -t/ -k1,9 -r
}

# find_postgres [MAJOR]: sets PG_BIN; with MAJOR only that major version will do (a data folder is bound to one).
find_postgres() {
  local folder version major=${1:-}
  while IFS= read -r folder; do
    version=$(postgres_version "$folder")
    if ! version_at_least "$version" "$MIN_POSTGRES"; then continue; fi
    if [ -n "$major" ] && [ "${version%%.*}" != "$major" ]; then continue; fi
    PG_BIN=$folder
    return 0
  done < <(postgres_folders)
  return 1
}

# need_postgres: PG_BIN is set and good afterwards, or the script ends with a message.
need_postgres() {
  if [ -n "${PG_BIN:-}" ]; then
    local version
    version=$(postgres_version "$PG_BIN")
    if [ -z "$version" ]; then die "PG_BIN=$PG_BIN has no initdb, postgres and pg_ctl. Correct or unset PG_BIN."; fi
    if ! version_at_least "$version" "$MIN_POSTGRES"; then
      die "PG_BIN=$PG_BIN is PostgreSQL $version; at least $MIN_POSTGRES is needed. Correct or unset PG_BIN."
    fi
  elif ! find_postgres; then
    install_postgres
    find_postgres || die "PostgreSQL was installed, but no version >= $MIN_POSTGRES was found. $POSTGRES_HINT"
  fi
  export PG_BIN
}

install_postgres() {
  if has brew; then
    note "  installing postgresql@17 with brew"
    HOMEBREW_NO_AUTO_UPDATE=1 brew install -q postgresql@17 </dev/null >&2 ||
      die "brew could not install postgresql@17 (see above). $POSTGRES_HINT"
  elif has apt-get; then
    note "  installing the package postgresql with apt"
    install_postgres_with_apt || die "PostgreSQL >= $MIN_POSTGRES is missing and apt could not install it: it needs the \
network, and root rights or sudo. As root: apt-get update && apt-get install postgresql. $POSTGRES_HINT"
  else
    die "PostgreSQL >= $MIN_POSTGRES is missing, and neither apt nor brew is here to install it. $POSTGRES_HINT"
  fi
}

# Debian's package makes and starts a cluster of its own. Where PostgreSQL is new to the machine that is switched off
# for the time of the installation: we bring our own cluster, and nothing else was asked for.
install_postgres_with_apt() {
  local settings=/etc/postgresql-common/createcluster.conf status=0
  if [ -e "$settings" ]; then
    apt_install postgresql
    return
  fi
  apt_install postgresql-common || return 1
  as_root cp -p "$settings" "$settings.before" || return 1
  echo 'create_main_cluster = false' | as_root tee -a "$settings" >/dev/null || return 1
  apt_install postgresql || status=1
  as_root mv "$settings.before" "$settings"
  return "$status"
}
