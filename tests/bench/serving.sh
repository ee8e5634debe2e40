#!/usr/bin/env bash
# The server under load: runs serving.py with its options on the release build. It takes about seven minutes; nothing else
# should run meanwhile.
set -euo pipefail
exec python3 "$(dirname "${BASH_SOURCE[0]}")/serving.py" "$@"
