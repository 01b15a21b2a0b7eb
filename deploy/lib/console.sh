# The console's packages and its build, and what its tests need: packages at the versions that the lock files pin, and Chromium.
# shellcheck shell=bash

CONSOLE=$ROOT/ingest/console

# console_packages FOLDER PINNED: installs what PINNED/package-lock.json names, again only when it changes. Needs Node and npm.
console_packages() {
  local folder=$1 pinned=$2
  if ! sdks_stale "$folder" "$pinned/package.json" "$pinned/package-lock.json"; then return; fi
  rm -rf "$folder" && mkdir -p "$folder"
  cp "$pinned/package.json" "$pinned/package-lock.json" "$folder/"
  if ! sdk_install "$folder" console_npm_ci "$folder"; then return 1; fi
  sdks_stamp "$folder" "$pinned/package.json" "$pinned/package-lock.json"
}

console_npm_ci() (cd "$1" && npm ci --ignore-scripts --no-audit --no-fund)

# need_console_packages TOOLS: exports CONSOLE_PACKAGES; editors find the packages beside the sources.
need_console_packages() {
  if ! need_node; then die "the console is built with Node $MIN_NODE or newer and npm: install them"; fi
  CONSOLE_PACKAGES=$1/console
  export CONSOLE_PACKAGES
  if ! console_packages "$CONSOLE_PACKAGES" "$CONSOLE"; then die "npm could not install $CONSOLE/package.json"; fi
  ln -sfn "$CONSOLE_PACKAGES/node_modules" "$CONSOLE/node_modules"
}

# console_build FOLDER: checks the types, then builds into FOLDER.
console_build() {
  (cd "$CONSOLE" && "$CONSOLE_PACKAGES/node_modules/.bin/tsc" --project tsconfig.json) && node "$CONSOLE/build.mjs" "$1"
}

# find_console_tests TOOLS: exports EC_CONSOLE_NODE_FOLDER and what find_chromium does. What cannot be had stays unset.
find_console_tests() {
  EC_SDK_WHY_NOT=${EC_SDK_WHY_NOT:-}
  if need_node && console_packages "$1/console-tests" "$ROOT/tests/console"; then
    EC_SDK_NODE=$(command -v node) EC_CONSOLE_NODE_FOLDER=$1/console-tests
    export EC_SDK_NODE EC_CONSOLE_NODE_FOLDER
  else
    sdk_missing "the packages of tests/console could not be installed"
  fi
  find_chromium
  export EC_SDK_WHY_NOT
}
