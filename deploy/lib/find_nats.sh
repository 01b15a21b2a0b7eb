# Finds a nats-server that is new enough, or fetches one into the project's tool folder, and leaves it in NATS_SERVER.
#
# Older servers lose acknowledged messages, and distributions still carry them: so the version decides, never the name.
# shellcheck shell=bash

NATS_HINT="Get it from https://nats.io/download and set NATS_SERVER to the program."

# need_nats TOOLS: NATS_SERVER is set and good afterwards, or the script ends with a message.
need_nats() {
  local tools=$1 version
  if [ -n "${NATS_SERVER:-}" ]; then
    version=$(nats_version "$NATS_SERVER")
    if [ -z "$version" ]; then die "NATS_SERVER=$NATS_SERVER is not a nats-server. Correct or unset NATS_SERVER."; fi
    if ! version_at_least "$version" "$MIN_NATS"; then
      die "NATS_SERVER=$NATS_SERVER is version $version; at least $MIN_NATS is needed. Correct or unset NATS_SERVER."
    fi
  elif ! find_nats "$tools"; then
    install_nats "$tools"
  fi
  export NATS_SERVER
}

find_nats() {
  local file
  for file in "$(command -v nats-server || true)" "$1/nats-server" /opt/homebrew/bin/nats-server \
    /usr/local/bin/nats-server; do
    if [ -n "$file" ] && version_at_least "$(nats_version "$file")" "$MIN_NATS"; then
      NATS_SERVER=$file
      return 0
    fi
  done
  return 1
}

install_nats() {
  local tools=$1
  mkdir -p "$tools"
  if has brew; then
    note "  installing nats-server with brew"
    HOMEBREW_NO_AUTO_UPDATE=1 brew install -q nats-server </dev/null >&2 || true
    if find_nats "$tools"; then return; fi
  fi
  if has apt-get && has dpkg; then
    note "  fetching nats-server with apt"
    nats_from_apt "$tools" || true
    if find_nats "$tools"; then return; fi
  fi
  note "  fetching nats-server $MIN_NATS from its GitHub release"
  nats_from_github "$tools" || true
  if find_nats "$tools"; then return; fi
  die "nats-server >= $MIN_NATS is missing and could not be fetched: no new enough package, and no release archive \
(see above; is the network reachable?). $NATS_HINT"
}

nats_from_github() {
  local tools=$1 os machine name scratch
  os=$(uname -s | tr '[:upper:]' '[:lower:]')
  case "$(uname -m)" in
    x86_64 | amd64) machine=amd64 ;;
    aarch64 | arm64) machine=arm64 ;;
    *) note "  there is no release archive that is known to fit $(uname -m)" && return 1 ;;
  esac
  if ! has curl; then note "  curl is missing, which fetches the archive" && return 1; fi
  name=nats-server-v$MIN_NATS-$os-$machine
  scratch=$(mktemp -d)
  if curl -fsSL --connect-timeout 15 --retry 2 -o "$scratch/archive.tar.gz" \
    "https://github.com/nats-io/nats-server/releases/download/v$MIN_NATS/$name.tar.gz" >&2; then
    tar -xzf "$scratch/archive.tar.gz" -C "$scratch" && mv "$scratch/$name/nats-server" "$tools/nats-server"
  fi
  rm -rf "$scratch"
}
