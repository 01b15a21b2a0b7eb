# The Rust toolchain: is it here and new enough, and building the two programs with it.
# shellcheck shell=bash

# need_rust: cargo is on PATH afterwards, or the script ends with a message.
need_rust() {
  local want have
  if ! has cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH; fi
  if ! has cargo || ! has rustc; then
    die "Rust is missing (no cargo on PATH). Install it as https://rustup.rs says, open a new shell and try again."
  fi
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
  have=$(rustc --version | cut -d' ' -f2)
  if ! version_at_least "$have" "$want"; then
    die "Rust $have is too old, $want is needed. Update it: rustup update stable"
  fi
  if ! has cc; then
    die "A C compiler is missing (no cc on PATH), which Rust links with. Debian, Ubuntu: apt-get install build-essential. \
macOS: xcode-select --install"
  fi
}

# build WHAT...: cargo build with these arguments; its own progress is shown.
build() {
  step_break
  (cd "$ROOT" && cargo build --locked "$@") >&2 </dev/null || die "the build failed (see above)"
}

# target_folder PROFILE: where the built programs are; PROFILE is release or debug.
target_folder() {
  (cd "$ROOT" && echo "$(absolute_path "${CARGO_TARGET_DIR:-target}")/$1")
}

# build_next_format FEATURES: builds ingest and worker, development profile, with these features and a newer version of
# stream messages; prints the folder they are in. The ordinary build must come after it: both use the same target folder.
build_next_format() {
  local from to
  from=$(target_folder debug)
  to=$from/next-format
  build -p ingest -p worker -p tests --bins --features "ingest/next_format,worker/next_format${1:+,$1}"
  mkdir -p "$to"
  cp -f "$from/ingest" "$from/worker" "$to/"
  echo "$to"
}
