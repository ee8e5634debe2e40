#!/usr/bin/env bash
# The contract compiles, is documented field by field, and keeps to the rules of proto/buf.yaml.
#
#   proto_lint.sh BUF
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
buf="$1"
if [ ! -x "$buf" ]; then
  echo "proto_lint: $buf is missing: run docker/install_deps.sh"
  exit 77
fi
"$buf" lint proto
"$buf" format --diff --exit-code proto
"$buf" build -o /dev/null proto
echo "proto_lint: $(find proto/proad -name '*.proto' | wc -l) files, no finding"
