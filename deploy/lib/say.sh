# Progress lines and error messages, all on standard error: standard output belongs to results.
#
# step "Text"   opens a line ("Text ... "); ok "detail" closes it with the seconds it took.
# note "Text"   a line of its own. die "Text" says what is wrong and exits with 1.
# shellcheck shell=bash

now_ms() {
  if [ -n "${EPOCHREALTIME:-}" ]; then
    local now=${EPOCHREALTIME/[.,]/}
    echo $((now / 1000))
  else
    echo $(($(date +%s) * 1000)) # bash before 5: whole seconds
  fi
}

# seconds_since START_MS: "1.2 s"
seconds_since() {
  local tenths=$((($(now_ms) - $1 + 50) / 100))
  echo "$((tenths / 10)).$((tenths % 10)) s"
}

STEP_OPEN=
STEP_STARTED=0

step() {
  step_break
  STEP_STARTED=$(now_ms)
  STEP_OPEN=1
  printf '%s ... ' "$1" >&2
}

# Ends an open line early, so that the output of a command begins on a line of its own.
step_break() {
  if [ -n "$STEP_OPEN" ]; then printf '\n' >&2; fi
  STEP_OPEN=
}

ok() {
  local indent=
  if [ -z "$STEP_OPEN" ]; then indent='  '; fi
  printf '%s%s (%s)\n' "$indent" "${1:-done}" "$(seconds_since "$STEP_STARTED")" >&2
  STEP_OPEN=
}

note() {
  step_break
  printf '%s\n' "$*" >&2
}

die() {
  step_break
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# log_tail FILE LINES: the end of a log, indented, for an error message.
log_tail() {
  if [ ! -s "$1" ]; then return 0; fi
  step_break
  printf '  the end of %s:\n' "$1" >&2
  tail -n "$2" "$1" 2>/dev/null | sed 's/^/  | /' >&2 || true
}
