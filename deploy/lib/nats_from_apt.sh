# Unpacks a new enough nats-server from a Debian or Ubuntu package into the tool folder.
#
# The package is taken from the configured suite if that has a new enough one, else from the distribution's newest
# suite on the machine's own configured mirror, through a sources list and state folder that are thrown away: nothing
# of the system changes. Signatures are checked as always. Unpacking needs no root rights and starts no service.
# shellcheck shell=bash

# nats_from_apt TOOLS: fails when no suite has it.
nats_from_apt() {
  local scratch status=0
  scratch=$(mktemp -d)
  chmod 755 "$scratch" # apt downloads as a user of its own
  unpack_configured "$1" "$scratch" || unpack_newest "$1" "$scratch" || status=1
  rm -rf "$scratch"
  return "$status"
}

unpack_configured() {
  mkdir "$2/configured"
  unpack_candidate "$1" "$2/configured"
}

# Tries the newest suite of each configured repository that could carry it.
unpack_newest() {
  local tools=$1 scratch=$2 suite keyring uri number=0
  # shellcheck disable=SC1091
  case "$(. /etc/os-release && echo "${ID:-} ${ID_LIKE:-}")" in
    *ubuntu*) suite='devel universe' keyring=/usr/share/keyrings/ubuntu-archive-keyring.gpg ;;
    *debian*) suite='sid main' keyring=/usr/share/keyrings/debian-archive-keyring.gpg ;;
    *) return 1 ;;
  esac
  # shellcheck disable=SC2016
  while IFS= read -r uri; do
    number=$((number + 1))
    local folder=$scratch/$number signed=
    mkdir -p "$folder/state/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status" # as if nothing were installed: the suite's version is the candidate
    if [ -e "$keyring" ]; then signed="[signed-by=$keyring] "; fi
    echo "deb $signed$uri $suite" >"$folder/sources.list"
    local options=(
      -o "Dir::State=$folder/state" -o "Dir::State::status=$folder/status" -o "Dir::Cache=$folder/cache"
      -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
      -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
      -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
      -o Acquire::IndexTargets::deb::CNF::DefaultEnabled=false
    )
    # apt calls an unreachable mirror a warning and succeeds: the candidate decides.
    apt-get -q "${options[@]}" update </dev/null >"$folder/update.log" 2>&1 || true
    if unpack_candidate "$tools" "$folder" "${options[@]}"; then return 0; fi
    grep '^[WE]:' "$folder/update.log" >"$folder/complaints" || true
    log_tail "$folder/complaints" 3
  done < <(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -v security | sort -u)
  return 1
}

# unpack_candidate TOOLS FOLDER [APT OPTION...]: FOLDER is where the download goes.
unpack_candidate() {
  local tools=$1 folder=$2 version
  shift 2
  version=$(apt-cache "$@" policy nats-server 2>/dev/null | sed -n 's/^ *Candidate: *//p')
  if ! version_at_least "$version" "$MIN_NATS"; then return 1; fi
  # The warning that the download ran "unsandboxed" is no error: the folder is ours, not apt's user's.
  if ! (cd "$folder" && apt-get -q "$@" download nats-server) </dev/null >"$folder/log" 2>&1; then
    log_tail "$folder/log" 4
    return 1
  fi
  dpkg -x "$folder"/nats-server_*.deb "$folder/unpacked" || return 1
  mv "$folder"/unpacked/usr/*bin/nats-server "$tools/nats-server"
}
