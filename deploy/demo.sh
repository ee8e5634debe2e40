#!/usr/bin/env bash
# The main job, end to end: installs, builds, starts a server on free ports, detects on the sample pictures
# through the client, shows a few metrics, and stops the server cleanly.
#
#   deploy/demo.sh [OUTPUT_DIRECTORY]      default: out/demo
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="$(realpath -m "${1:-$root/out/demo}")"
cd "$root"

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "Install what the build needs"
docker/install_deps.sh

step "Build"
cmake --preset release >/dev/null
cmake --build --preset release --target proad proad-server proad-trainer
build="$root/build/release"
proad="$build/client/proad"

step "Make a model version from the shipped weights"
mkdir -p "$out"
store="$out/store"
if [ ! -e "$store/proad-tiny/1/manifest.json" ]; then
  "$proad" import --store "$store" --name proad-tiny --preset proad-tiny \
    --encoder model/weights/encoder-tiny.safetensors --weights model/weights/proad-tiny.safetensors
else
  echo "already in $store"
fi

step "Start the server"
log="$out/server.log"
"$build/server/proad-server" --config deploy/proad-server.yaml --store "$store" --default-model proad-tiny \
  --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 >"$out/server.out" 2>"$log" &
server=$!
trap 'kill -KILL $server 2>/dev/null || true' EXIT
ready=
for _ in $(seq 600); do
  ready="$(grep -m1 '^listening ' "$out/server.out" || true)"
  [ -n "$ready" ] && break
  kill -0 $server 2>/dev/null || { echo "the server did not start; its log:" >&2; tail -20 "$log" >&2; exit 1; }
  sleep 0.1
done
[ -n "$ready" ] || { echo "the server was not ready within a minute; its log: $log" >&2; exit 1; }
echo "$ready"
address="$(sed -n 's/.*grpc=\([^ ]*\).*/\1/p' <<<"$ready")"
metrics="$(sed -n 's/.*metrics=\([^ ]*\).*/\1/p' <<<"$ready")"

step "Detect on the sample pictures"
"$proad" detect deploy/sample --server "$address" --overlay --resolution original --out "$out/overlays"
echo
echo "overlays: $out/overlays"

step "What the server counted"
python3 - "http://$metrics/metrics" <<'PYTHON'
import re, sys, urllib.request
text = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode()
wanted = r"proad_(requests_total|verdicts_total|batch_dispatch_total|request_seconds_(sum|count)|model_info)"
print("\n".join(line for line in text.splitlines() if re.match(wanted, line) and not line.endswith(" 0")))
PYTHON

step "Stop the server"
trap - EXIT
kill -TERM $server
status=0
wait $server || status=$?
echo "the server answered what it had accepted and exited $status"
exit $status
