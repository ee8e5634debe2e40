#!/usr/bin/env bash
# Runs the fuzz targets for a while each, several at a time, and prints what they did.
#
#   tests/fuzz/run.sh SECONDS [TARGET...]
#
# Needs the preset asan built (build/asan, or the folder named by PROAD_FUZZ_BUILD). Seeds come from
# tests/fuzz/corpus/TARGET and are only read; what a run finds on top is kept in FOLDER/fuzz/TARGET/corpus, so that
# the next run starts where this one ended. An input that breaks a target is kept in FOLDER/fuzz/TARGET/findings and
# is tried first in every later run. Exit 1 when there is one; add it to the seeds when it is mended.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if ! [[ "${1:-}" =~ ^[1-9][0-9]*$ ]]; then
  echo "usage: tests/fuzz/run.sh SECONDS [TARGET...]" >&2
  exit 2
fi
seconds="$1"
shift
build="${PROAD_FUZZ_BUILD:-build/asan}"
list="$build/tests/fuzz/targets.txt"
if [ ! -s "$list" ]; then
  echo "tests/fuzz/run.sh: no targets in $list: run 'cmake --preset asan && cmake --build --preset asan' first" >&2
  exit 2
fi

declare -A max_len=()
targets=()
while read -r name bytes; do
  max_len[$name]="$bytes"
  targets+=("$name")
done <"$list"
for name in "$@"; do
  if [ -z "${max_len[$name]:-}" ]; then
    echo "tests/fuzz/run.sh: no target '$name' (known: ${targets[*]})" >&2
    exit 2
  fi
done
[ $# -eq 0 ] || targets=("$@")

symbolizer="$(command -v llvm-symbolizer-14 || true)"
export ASAN_OPTIONS="detect_stack_use_after_return=1:strict_string_checks=1:external_symbolizer_path=$symbolizer"
export UBSAN_OPTIONS="print_stacktrace=1:external_symbolizer_path=$symbolizer"
export LSAN_OPTIONS="suppressions=$PWD/tests/support/lsan.supp:print_suppressions=0"

# One target; its output goes to FOLDER/fuzz/TARGET/log.
fuzz() {
  local name="$1" home="$build/fuzz/$1" dictionary=()
  mkdir -p "$home/corpus" "$home/findings"
  [ -f "tests/fuzz/$name.dict" ] && dictionary=("-dict=tests/fuzz/$name.dict")
  "$build/tests/fuzz/$name" -max_total_time="$seconds" -max_len="${max_len[$name]}" -timeout=20 \
    -rss_limit_mb=2048 -print_final_stats=1 -reload=0 -artifact_prefix="$home/findings/" \
    "${dictionary[@]}" "$home/corpus" "tests/fuzz/corpus/$name" "$home/findings" >"$home/log" 2>&1
}

# The last number after WORD in the log of a target.
number() { grep -aoP "$2\s*\K[0-9]+" "$build/fuzz/$1/log" | tail -1 || true; }

report() {
  local name="$1" status="$2" executed
  executed="$(number "$name" 'stat::number_of_executed_units:')"
  if [ "$status" -eq 0 ] && [ "${executed:-0}" -gt 0 ]; then
    printf '%-24s %10d runs %7d /s %6s branches %5s MiB  ok\n' "$name" "$executed" \
      "$(number "$name" 'stat::average_exec_per_sec:')" "$(number "$name" 'cov:')" \
      "$(number "$name" 'stat::peak_rss_mb:')"
    return 0
  fi
  local input
  input="$(grep -aoP 'Test unit written to \K.*' "$build/fuzz/$name/log" | tail -1 || true)"
  printf '%-24s FAILED with exit status %d\n' "$name" "$status"
  tail -n 40 "$build/fuzz/$name/log" | sed 's/^/    /'
  echo "    whole log:  $build/fuzz/$name/log"
  [ -z "$input" ] || echo "    reproduce:  $build/tests/fuzz/$name $input"
  return 1
}

echo "fuzzing ${#targets[@]} targets for $seconds s each, $(nproc) at a time"
declare -A name_of=()
failed=0
collect() {
  local pid status=0
  wait -n -p pid || status=$?
  report "${name_of[$pid]}" "$status" || failed=1
  unset "name_of[$pid]"
}
for name in "${targets[@]}"; do
  [ ${#name_of[@]} -lt "$(nproc)" ] || collect
  fuzz "$name" &
  name_of[$!]="$name"
done
while [ ${#name_of[@]} -gt 0 ]; do collect; done
exit "$failed"
