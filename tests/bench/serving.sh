#!/usr/bin/env bash
# The serving engine under load, on this machine, in some minutes: serving.py, whose options it takes, on the release
# build. Nothing else should run meanwhile.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
deps="${PROAD_DEPS:-$root/.deps}"
exec "$deps/venv/bin/python" "$root/tests/bench/serving.py" "$@"
