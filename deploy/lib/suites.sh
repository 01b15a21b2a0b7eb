# Runs test suites one after another, each in a process group of its own with a time limit, and counts what they did.
#
# A suite is a name and a cargo test command. SUITE_ROWS collects its row of the table; the totals are PASSED, FAILED
# and SKIPPED. A test that cannot run says so with a line "SKIPPED name: reason" in the file EC_SKIP_FILE names, and
# ends well; an ignored test counts as skipped too. A skip that ALLOW_SKIP does not name fails the run,
# unless the line says IMPOSSIBLE instead: no setup could make the test possible on this machine.
# shellcheck shell=bash

SUITE_LIMIT_SECONDS=${SUITE_LIMIT_SECONDS:-1200}
SUITE_PID=
SUITE_ROWS=
FAILURES=
IMPOSSIBLE=
PASSED=0 FAILED=0 SKIPPED=0

# run_suite FOLDER NAME COMMAND...: FOLDER keeps the suite's output.
run_suite() {
  local folder=$1 name=$2 log=$1/$2.log skips=$1/$2.skips started=$SECONDS status=0 shown=0 size overdue=
  shift 2
  note "" && note "=== $name"
  : >"$log"
  : >"$skips"
  set -m
  EC_SKIP_FILE=$skips "$@" </dev/null >"$log" 2>&1 &
  SUITE_PID=$!
  set +m
  # The output goes through a file, not a pipe: a process that a test leaves behind would hold a pipe open for ever.
  while kill -0 "$SUITE_PID" 2>/dev/null; do
    sleep 0.3
    size=$(wc -c <"$log")
    if [ "$size" -gt "$shown" ]; then
      tail -c "+$((shown + 1))" "$log" | head -c "$((size - shown))"
      shown=$size
    fi
    if [ $((SECONDS - started)) -gt "$SUITE_LIMIT_SECONDS" ]; then
      overdue=1
      end_suite
      break
    fi
  done
  wait "$SUITE_PID" || status=$?
  end_suite
  SUITE_PID=
  tail -c "+$((shown + 1))" "$log"
  if [ -n "$overdue" ]; then note "$name was ended after $SUITE_LIMIT_SECONDS s"; fi
  count_suite "$name" "$log" "$skips" "$((SECONDS - started))" "$status"
}

# Ends what is left of the running suite: its process group, and the servers its tests started, which have left the
# group but still carry the name of this run in their environment (EC_TEST_RUN; seen only where there is a /proc).
end_suite() {
  local file pid
  if [ -z "$SUITE_PID" ]; then return 0; fi
  kill -KILL -- "-$SUITE_PID" 2>/dev/null || true
  for file in /proc/[0-9]*/environ; do
    pid=${file//[!0-9]/}
    if { grep -qz "^EC_TEST_RUN=$EC_TEST_RUN\$" "$file"; } 2>/dev/null && kill -KILL "$pid" 2>/dev/null; then
      note "ended process $pid, which a test left behind"
    fi
  done
}

# The words of libtest: "test NAME ... ok|FAILED|ignored" and "test result: ok. 3 passed; 0 failed; 1 ignored; ...".
count_suite() {
  local name=$1 log=$2 skips=$3 seconds=$4 status=$5 passed failed skipped line
  sed -n 's/^test \(.*\) \.\.\. ignored.*/SKIPPED \1: ignored/p' "$log" >"$log.ignored"
  skipped=$(grep -c . "$skips" || true)
  while IFS= read -r line; do IMPOSSIBLE="$IMPOSSIBLE  $name: $line"$'\n'; done < <(sed -n 's/^IMPOSSIBLE //p' "$skips")
  passed=$(sum_of passed "$log")
  if [ "$passed" -ge "$skipped" ]; then passed=$((passed - skipped)); fi # a test that skipped itself ended well
  skipped=$((skipped + $(wc -l <"$log.ignored")))
  failed=$(sum_of failed "$log")
  while IFS= read -r line; do FAILURES="$FAILURES  $name: $line"$'\n'; done < <(
    failed_names <"$log" | while IFS= read -r line; do echo "$line$(why_failed "$line" "$log")"; done
    sed -n '/^SKIPPED/p' "$skips" "$log.ignored" | while IFS= read -r line; do
      if ! skip_allowed "$line"; then echo "$line (not named in ALLOW_SKIP)"; fi
    done
  )
  if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
    failed=1
    FAILURES="$FAILURES  $name: ended with status $status before its tests were counted"$'\n'
  fi
  PASSED=$((PASSED + passed)) FAILED=$((FAILED + failed)) SKIPPED=$((SKIPPED + skipped))
  SUITE_ROWS="$SUITE_ROWS$(printf '%-32s %7s %7s %7s %7s' "$name" "$seconds" "$passed" "$failed" "$skipped")"$'\n'
}

# The names below the second "failures:" of a run; the "FAILED" lines can be torn by what programs print.
failed_names() {
  awk '/^failures:$/ { names = ""; listing = 1 }
    /^test result:/ { printf "%s", names; names = ""; listing = 0 }
    listing && /^    [^ ]+$/ { names = names substr($0, 5) "\n" }'
}

# why_failed TEST LOG: ": " and the first words of its panic, in one line.
why_failed() {
  grep -F -A3 -m1 -e "thread '$1'" "$2" | sed -n '2,$p' | sed '/^stack backtrace:/,$d; /^note: /,$d' | tr '\n' ' ' | cut -c1-300 | sed 's/^/: /'
}

sum_of() {
  sed -n "s/^test result:.* \([0-9][0-9]*\) $1;.*/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'
}

# skip_allowed "SKIPPED name: reason": is the name, or its last part after ::, in the comma list ALLOW_SKIP?
skip_allowed() {
  local name=${1#SKIPPED }
  name=${name%%: *}
  case ",${ALLOW_SKIP:-}," in
    *",$name,"* | *",${name##*::},"*) return 0 ;;
    *) return 1 ;;
  esac
}

# report_suites SECONDS: the table, what failed, and the closing line. Fails unless all is well and something ran.
report_suites() {
  printf '\n%-32s %7s %7s %7s %7s\n' suite seconds passed failed skipped
  printf '%s' "$SUITE_ROWS"
  printf '%-32s %7s %7s %7s %7s\n' total "$1" "$PASSED" "$FAILED" "$SKIPPED"
  if [ -n "$IMPOSSIBLE" ]; then printf '\nSKIPPED, because this machine cannot:\n%s' "$IMPOSSIBLE"; fi
  if [ -n "$FAILURES" ]; then printf '\nNot well:\n%s' "$FAILURES"; fi
  printf '\n%s passed, %s failed, %s skipped\n' "$PASSED" "$FAILED" "$SKIPPED"
  if [ "$PASSED" = 0 ]; then note "no test ran"; fi
  [ -z "$FAILURES" ] && [ "$FAILED" = 0 ] && [ "$PASSED" -gt 0 ]
}
