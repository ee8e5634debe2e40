#!/usr/bin/env bash
# Installs missing dependencies, builds, and runs all tests. Prints the skipped tests with their reasons, and ends with
# ctest's summary. Exits 0 only when every test passed.
#
#   tests/run.sh [--all] [--lane NAME]... [--keep-going]
#
# Lanes, in this order:
#   asan      all code and tests without LibTorch under AddressSanitizer and UndefinedBehaviorSanitizer (Clang, with
#             thread-safety analysis as errors)
#   tidy      clang-tidy over model/, server/ and client/ without LibTorch; only changed files
#   fuzz      each fuzz target for 20 s
#   tsan      the unit tests under ThreadSanitizer
#   asan-all  all code and tests, with LibTorch, under AddressSanitizer and UndefinedBehaviorSanitizer
#   release   all code and tests as shipped
#
#   (no option)   asan, tidy, fuzz, tsan, release
#   --all         all lanes, and 5 min for each fuzz target
#   --lane NAME   only that lane; may be repeated
#   --keep-going  run the remaining lanes after one has failed; the exit status is still 1
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lanes=()
fuzz_seconds=20
keep_going=0
all=0
while [ $# -gt 0 ]; do
  case "$1" in
    --all) all=1 ;;
    --keep-going) keep_going=1 ;;
    --lane)
      case "${2:-}" in
        asan | tidy | fuzz | tsan | asan-all | release) lanes+=("$2") ;;
        *) echo "tests/run.sh: --lane takes asan, tidy, fuzz, tsan, asan-all or release, not '${2:-}'" >&2; exit 2 ;;
      esac
      shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown option '$1' (known: --all, --lane NAME, --keep-going)" >&2; exit 2 ;;
  esac
  shift
done
[ "$all" -eq 0 ] || fuzz_seconds=300
if [ ${#lanes[@]} -eq 0 ]; then
  lanes=(asan tidy fuzz tsan release)
  [ "$all" -eq 0 ] || lanes=(asan tidy fuzz tsan asan-all release)
fi

jobs="$(nproc)"
timings=()

# timed NAME COMMAND...: runs the command and records its duration.
timed() {
  local name="$1" start=$SECONDS status=0
  shift
  echo "== $name"
  "$@" || status=$?
  timings+=("$(printf '%-18s %4d s' "$name" $((SECONDS - start)))")
  return "$status"
}

# build PRESET [TARGET...]: shows the progress on a terminal; elsewhere prints only failures.
build() {
  local preset="$1" log="build/$1.configure.log" quiet=()
  shift
  mkdir -p build
  if ! cmake --preset "$preset" ${PROAD_DEPS:+"-DPROAD_DEPS=$PROAD_DEPS"} >"$log" 2>&1; then
    cat "$log"
    return 1
  fi
  [ -t 1 ] || quiet=(--quiet)
  ninja "${quiet[@]}" -C "build/$preset" "$@"
}

# check PRESET [CTEST OPTION...]
check() {
  local preset="$1"
  shift
  ctest --test-dir "build/$preset" --parallel "$jobs" --output-on-failure --no-tests=error "$@" |
    tests/skipped.py "build/$preset"
}

# The summary must come last, so the timings of everything before it are printed first.
print_timings() { printf '   %s\n' "${timings[@]}"; }

run_lane() {
  case "$1" in
    asan) timed "build asan" build asan && timed "test asan" check asan ;;
    tidy) timed "build protos" build asan proad_proto && timed "clang-tidy" tests/tidy.py ;;
    fuzz) timed "build fuzz" build asan fuzz_tests && timed "fuzz" tests/fuzz/run.sh "$fuzz_seconds" ;;
    tsan) timed "build tsan" build tsan unit_tests && timed "test tsan" check tsan -L '^unit$' -LE script ;;
    asan-all) timed "build asan-all" build asan-all && timed "test asan-all" check asan-all ;;
    release) timed "build release" build release && print_timings && timed "test release" check release ;;
  esac
}

failed=()
timed "install" docker/install_deps.sh
for lane in "${lanes[@]}"; do
  if ! run_lane "$lane"; then
    failed+=("$lane")
    [ "$keep_going" -eq 1 ] || break
  fi
done
if [ ${#failed[@]} -gt 0 ]; then
  echo
  print_timings
  echo "tests/run.sh: FAILED: lane ${failed[*]}" >&2
  exit 1
fi
