#!/usr/bin/env bash
# The whole product in one run: installs, builds, starts a server on free ports, detects on the sample images,
# trains a new version on the good ones, activates it, detects again, prints metrics, and stops the server. A
# second run reuses the build and the version that the first one trained.
#
#   deploy/demo.sh [OUTPUT_DIRECTORY]      default: out/demo
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
out="$(realpath -m "${1:-$root/out/demo}")"
cd "$root"

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

step "Install dependencies"
if [ ! -d "${PROAD_DEPS:-$root/.deps}/venv" ]; then
  echo "The first installation downloads about 2.4 GB: usually 3 minutes."
fi
docker/install_deps.sh

step "Build proad, proad-server and proad-trainer"
build="$root/build/release"
if [ ! -x "$build/server/proad-server" ]; then
  echo "The first build compiles about 200 files: usually 6 to 8 minutes on two cores, 2 on eight."
fi
began=$SECONDS
cmake --preset release >/dev/null
cmake --build --preset release --target proad proad-server proad-trainer
echo "built in $((SECONDS - began)) s"
proad="$build/client/proad"

step "Import the shipped weights as a model version"
mkdir -p "$out"
store="$out/store"
if [ ! -e "$store/proad-pyramid/1/manifest.json" ]; then
  "$proad" import --store "$store" --name proad-pyramid \
    --encoder model/weights/encoder-pyramid.safetensors --weights model/weights/proad-pyramid.safetensors \
    --manifest model/weights/proad-pyramid.json
else
  echo "already in $store"
fi

step "Start the server"
log="$out/server.log"
cat >"$out/server.yaml" <<YAML
training:
  data_root: $root/deploy/sample
  encoders: $root/model/weights
  jobs: $out/jobs
YAML
"$build/server/proad-server" --config "$out/server.yaml" --store "$store" --default-model proad-pyramid \
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
[ -n "$ready" ] || { echo "the server was not ready within 60 s; its log: $log" >&2; exit 1; }
echo "$ready"
address="$(sed -n 's/.*grpc=\([^ ]*\).*/\1/p' <<<"$ready")"
metrics="$(sed -n 's/.*metrics=\([^ ]*\).*/\1/p' <<<"$ready")"

export PROAD_SERVER="$address"

step "Detect on the sample images with the shipped version"
"$proad" models activate proad-pyramid@1
"$proad" detect deploy/sample/*/test --category-from-folder --overlay --resolution original \
  --out "$out/overlays" | tee "$out/before.txt"
echo
echo "overlays: $out/overlays"

step "Train a version on the good sample images"
"$proad" train deploy/sample --name proad-pyramid --recipe quick --init-from proad-pyramid@1 --epochs 12 \
  --learning-rate 2e-4 --request-id demo --watch
version="$("$proad" jobs list --model proad-pyramid --json | python3 -c '
import json, sys
print(json.loads(sys.stdin.readline())["result_version"]["version"])')"

step "Activate it and detect with it"
"$proad" models activate "proad-pyramid@$version"
"$proad" detect deploy/sample/*/test --category-from-folder | tee "$out/after.txt"

# Prints the number of verdicts in a table that agree with the folders of the images.
right() {
  python3 - "$1" <<'PYTHON'
import re, sys
rows = re.findall(r"/test/([a-z]+)/\S+\.png.*?\b(NORMAL|ANOMALOUS)\b", open(sys.argv[1], encoding="utf-8").read())
print(f"verdicts: {sum((kind == 'good') == (verdict == 'NORMAL') for kind, verdict in rows)} of {len(rows)} right")
PYTHON
}

step "Image AUROC and verdicts on the sample"
echo "before: version 1, as shipped, trained on 240 good images"
sed -n '/^category/,/^mean/p' "$out/before.txt"
right "$out/before.txt"
echo
echo "after: version $version, trained further on the 40 good images of the sample, 9 of them held out"
sed -n '/^category/,/^mean/p' "$out/after.txt"
right "$out/after.txt"

step "Metrics of the server"
python3 - "http://$metrics/metrics" <<'PYTHON'
import re, sys, urllib.request
text = urllib.request.urlopen(sys.argv[1], timeout=10).read().decode()
wanted = r"proad_(requests_total|verdicts_total|batch_dispatch_total|request_seconds_(sum|count)|model_info|train_images_total)"
print("\n".join(line for line in text.splitlines() if re.match(wanted, line) and not line.endswith(" 0")))
PYTHON

step "Stop the server"
trap - EXIT
kill -TERM $server
status=0
wait $server || status=$?
echo "the server answered all accepted calls and exited with $status"
exit $status
