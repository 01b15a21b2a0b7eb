# Python programs for tests, each set in a virtual environment of its own in the project's tool folder.
# shellcheck shell=bash

# venv_with REQUIREMENTS NAME: what the file lists is installed in .tools/NAME; its programs are in .tools/NAME/bin. Made anew when
# the file changes.
venv_with() {
  local requirements=$1 folder=$TOOLS/$2 log
  if cmp -s "$requirements" "$folder/requirements.txt"; then return 0; fi
  need_python
  note "  installing ${requirements#"$ROOT"/} into ${folder#"$ROOT"/}"
  rm -rf "$folder"
  mkdir -p "$TOOLS"
  log=$(mktemp)
  if python3 -m venv "$folder" >"$log" 2>&1 &&
    "$folder/bin/python" -m pip install --disable-pip-version-check -q -r "$requirements" >>"$log" 2>&1; then
    rm -f "$log"
    # Last: a folder that was left half made does not count.
    cp "$requirements" "$folder/requirements.txt"
    return 0
  fi
  log_tail "$log" 8
  rm -f "$log"
  die "the Python packages of ${requirements#"$ROOT"/} could not be installed (see above; is a package index reachable?)"
}

# need_python: python3 with the module venv, which Debian packages apart.
need_python() {
  if python3 -c 'import venv, ensurepip' 2>/dev/null; then return 0; fi
  note "  installing the packages python3 and python3-venv"
  if has apt-get && apt_install python3 python3-venv; then return 0; fi
  die "python3 with venv is missing, which tests use. Install Python 3.10 or newer with your system's package manager."
}
