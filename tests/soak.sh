#!/usr/bin/env bash
# Everything at once against the release build, for 20 minutes: detection, streams, swaps, training, scrapes, faults.
#
#   tests/soak.sh [--minutes N] [--seed N] [--json FILE] [--markdown FILE]
#
# Prints a table; exit 0 only if every request is accounted for and the server's memory, descriptors and threads are
# flat. Not part of tests/run.sh, which has half a minute of it.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
export PROAD_SOURCE_DIR="$root" PROAD_BINARY_DIR="${PROAD_BINARY_DIR:-$root/build/release}"
[ -x "$PROAD_BINARY_DIR/server/proad-server" ] || { echo "tests/soak.sh: build first: tests/run.sh --lane release" >&2; exit 2; }
exec "${PROAD_DEPS:-$root/.deps}/venv/bin/python" "$root/tests/e2e/soak.py" "$@"
