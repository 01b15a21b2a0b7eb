# The SDKs that the SDK tests drive: Node packages, Python packages, and a browser; installed where missing.
#
# The packages go into the tool folder, at the versions that tests/sdks/ pins, and are installed again only when those files
# change. The browser is the distribution's. What cannot be had is no error here: its EC_SDK_* stays unset, EC_SDK_WHY_NOT
# says why, and the tests that need it say that they are skipped.
# shellcheck shell=bash

MIN_NODE=20

# find_sdks TOOLS: exports EC_SDK_NODE and EC_SDK_NODE_FOLDER, EC_SDK_PYTHON, EC_SDK_CHROMIUM, EC_SDK_WHY_NOT.
find_sdks() {
  EC_SDK_WHY_NOT=
  mkdir -p "$1/sdks"
  find_node_sdks "$1/sdks/node"
  find_python_sdks "$1/sdks/python"
  find_chromium
  export EC_SDK_WHY_NOT
}

sdk_missing() { EC_SDK_WHY_NOT="$EC_SDK_WHY_NOT$1; "; }

# need_node: a new enough one with npm, installed where missing.
need_node() {
  if ! version_at_least "$(program_version node)" "$MIN_NODE" || ! has npm; then
    note "  installing the packages nodejs and npm"
    has apt-get && apt_install nodejs npm || true
  fi
  version_at_least "$(program_version node)" "$MIN_NODE" && has npm
}

find_node_sdks() {
  local folder=$1 pinned=$ROOT/tests/sdks/node
  if ! need_node; then
    sdk_missing "no Node $MIN_NODE or newer with npm"
    return
  fi
  if sdks_stale "$folder" "$pinned/package.json" "$pinned/package-lock.json"; then
    rm -rf "$folder" && mkdir "$folder"
    cp "$pinned/package.json" "$pinned/package-lock.json" "$folder/"
    # Not "npm ci": it asks that the lock also names the optional packages of every other platform.
    if ! sdk_install "$folder" npm install --prefix "$folder" --omit=optional --ignore-scripts --no-audit --no-fund; then
      sdk_missing "npm could not install $pinned/package.json"
      return
    fi
    sdks_stamp "$folder" "$pinned/package.json" "$pinned/package-lock.json"
  fi
  EC_SDK_NODE=$(command -v node) EC_SDK_NODE_FOLDER=$folder
  export EC_SDK_NODE EC_SDK_NODE_FOLDER
}

find_python_sdks() {
  # In a subshell, which is all that ends when they cannot be installed.
  if ! (venv_with "$ROOT/tests/sdks/python/requirements.txt" sdks/python); then
    sdk_missing "the Python packages could not be installed"
    return
  fi
  EC_SDK_PYTHON=$1/bin/python
  export EC_SDK_PYTHON
}

find_chromium() {
  if ! chromium_name >/dev/null && has apt-get; then
    note "  installing the package chromium"
    apt_install chromium || true
  fi
  if EC_SDK_CHROMIUM=$(chromium_name); then
    export EC_SDK_CHROMIUM
  else
    unset EC_SDK_CHROMIUM
    sdk_missing "no Chromium"
  fi
}

chromium_name() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

# program_version NAME: "20.20.2", or nothing.
program_version() {
  if has "$1"; then "$1" --version 2>/dev/null | sed -n 's/^[^0-9]*\([0-9.]*\).*/\1/p' | head -n 1; fi
}

# sdk_install FOLDER COMMAND...: its output is shown only when it fails.
sdk_install() {
  local log=$1.log
  shift
  if "$@" </dev/null >"$log" 2>&1; then
    rm -f "$log"
    return 0
  fi
  log_tail "$log" 8
  return 1
}

# sdks_stale FOLDER FILE...: were the packages in the folder installed from other files than these?
sdks_stale() {
  local folder=$1
  shift
  [ "$(cat "$folder/.installed-from" 2>/dev/null)" != "$(cat "$@" | cksum)" ]
}

sdks_stamp() {
  local folder=$1
  shift
  cat "$@" | cksum >"$folder/.installed-from"
}
