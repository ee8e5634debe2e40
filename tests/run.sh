#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Ends with ctest's summary; exit 0 only when all passed.
#
#   tests/run.sh [--all] [--lane NAME]... [--keep-going]
#
# Lanes, in this order:
#   asan      AddressSanitizer + UndefinedBehaviorSanitizer over everything without LibTorch (Clang, with
#             thread-safety analysis as errors)
#   fuzz      every fuzz target for 20 s
#   tsan      ThreadSanitizer over the unit tests
#   asan-all  AddressSanitizer + UndefinedBehaviorSanitizer over everything, LibTorch included
#   release   everything, as shipped
#
#   (no option)   asan, fuzz, tsan, release
#   --all         all of them, and 5 min for every fuzz target
#   --lane NAME   only that lane; may be repeated
#   --keep-going  go on after a lane has failed (the exit status remembers)
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
        asan | fuzz | tsan | asan-all | release) lanes+=("$2") ;;
        *) echo "tests/run.sh: --lane takes asan, fuzz, tsan, asan-all or release, not '${2:-}'" >&2; exit 2 ;;
      esac
      shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) echo "tests/run.sh: unknown option '$1' (known: --all, --lane NAME, --keep-going)" >&2; exit 2 ;;
  esac
  shift
done
[ "$all" -eq 0 ] || fuzz_seconds=300
if [ ${#lanes[@]} -eq 0 ]; then
  lanes=(asan fuzz tsan release)
  [ "$all" -eq 0 ] || lanes=(asan fuzz tsan asan-all release)
fi

jobs="$(nproc)"
timings=()

# timed WORDS COMMAND...: runs the command and remembers how long it took.
timed() {
  local words="$1" start=$SECONDS status=0
  shift
  echo "== $words"
  "$@" || status=$?
  timings+=("$(printf '%-18s %4d s' "$words" $((SECONDS - start)))")
  return "$status"
}

# build PRESET [TARGET...]: shows progress on a terminal, and elsewhere only what fails.
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
  ctest --test-dir "build/$preset" --parallel "$jobs" --output-on-failure --no-tests=error "$@"
}

# The summary must come last, so the timings of everything before it are printed first.
print_timings() { printf '   %s\n' "${timings[@]}"; }

run_lane() {
  case "$1" in
    asan) timed "build asan" build asan && timed "test asan" check asan ;;
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
