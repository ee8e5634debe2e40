#!/usr/bin/env bash
# Makes the packages of a build and tries them: the .tar.gz unpacked in a folder of its own, the .deb by what it says
# and holds, unpacked beside. By hand, since LibTorch takes minutes to compress.
#
#   tests/package.sh [--keep FOLDER] [BUILD]      BUILD: default build/release; packages are left in FOLDER
#   tests/package.sh --unless-asked               skips (77) unless PROAD_TEST_PACKAGES=1: for ctest
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
build="${PROAD_BINARY_DIR:-$root/build/release}"
keep=
while [ $# -gt 0 ]; do
  case "$1" in
    --keep) keep="$(realpath -m "${2:?--keep needs a folder}")"; shift ;;
    --unless-asked)
      if [ "${PROAD_TEST_PACKAGES:-}" != 1 ]; then
        echo "package.sh: skipped: compressing LibTorch takes minutes; PROAD_TEST_PACKAGES=1, or tests/package.sh by hand"
        exit 77
      fi ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) echo "package.sh: unknown option '$1' (known: --keep FOLDER, --unless-asked)" >&2; exit 2 ;;
    *) build="$(realpath -e "$1")" ;;
  esac
  shift
done

fail() { echo "package.sh: FAILED: $*" >&2; exit 1; }
step() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }
folder="$(mktemp -d)"
server=
cleanup() {
  [ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
packages="${keep:-$folder/packages}"

step "cpack"
rm -rf "$packages"
mkdir -p "$packages"
cpack --config "$build/CPackConfig.cmake" -B "$packages" >"$folder/cpack.log" 2>&1 || { cat "$folder/cpack.log"; exit 1; }
rm -rf "$packages/_CPack_Packages"
(cd "$packages" && du -m --apparent-size -- *)

# detect_with PREFIX: the shipped model served and asked by the programs of an installation.
detect_with() {
  local prefix="$1" state address score
  state="$(mktemp -d -p "$folder")"
  "$prefix/bin/proad" import --store "$state/models" --name proad-pyramid --preset proad-pyramid \
    --encoder "$prefix/share/proad/weights/encoder-pyramid.safetensors" \
    --weights "$prefix/share/proad/weights/proad-pyramid.safetensors" >/dev/null
  "$prefix/bin/proad-server" --store "$state/models" --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0 \
    >"$state/out" 2>"$state/log" &
  server=$!
  until grep -q '^ready' "$state/out"; do
    kill -0 "$server" 2>/dev/null || { cat "$state/log"; fail "the server of $prefix did not start"; }
    sleep 0.1
  done
  address="$(sed -n 's/^listening grpc=\([^ ]*\).*/\1/p' "$state/out")"
  "$prefix/bin/proad" doctor --health --server "$address" >/dev/null || fail "$prefix is not healthy"
  score="$("$prefix/bin/proad" detect "$root/deploy/sample/brick/test/hole/002.png" --json --server "$address" |
    sed -n 's/.*"score": *\([0-9.]*\).*/\1/p' | head -1)"
  case "$score" in 0.0[0-9]* | 0.[1-9]*) ;; *) fail "$prefix answered with the score '$score'" ;; esac
  kill -TERM "$server"
  wait "$server" || fail "the server of $prefix ended with $?"
  server=
  echo "   scored $score"
}

step "the .tar.gz, unpacked in a folder of its own"
mkdir "$folder/anywhere"
tar -xzf "$packages"/proad-*.tar.gz -C "$folder/anywhere"
unpacked=("$folder"/anywhere/proad-*)
[ ${#unpacked[@]} -eq 1 ] || fail "the .tar.gz holds ${#unpacked[@]} folders"
detect_with "${unpacked[0]}"
rm -rf "$folder/anywhere"

field() { dpkg-deb -f "$1" "$2"; }
step "what the .deb files say"
mkdir "$folder/root"
server_package=proad-server
compgen -G "$packages/proad-server-cuda_*.deb" >/dev/null && server_package=proad-server-cuda
for package in proad "$server_package" libproad-dev; do
  debs=("$packages/${package}"_*_amd64.deb)
  [ -e "${debs[0]}" ] || fail "there is no .deb of $package"
  [ "$(field "${debs[0]}" Package)" = "$package" ] || fail "${debs[0]} is not $package"
  [ "$(field "${debs[0]}" Architecture)" = amd64 ] || fail "$package is not for amd64"
  echo "   $package $(field "${debs[0]}" Version), $(field "${debs[0]}" Installed-Size) KiB: $(field "${debs[0]}" Depends | cut -c1-90)..."
  dpkg-deb -x "${debs[0]}" "$folder/root"
done
depends="$(field "$packages/$server_package"_*.deb Depends)"
for needed in libc6 'libgrpc++1.51' libopencv-imgcodecs406 libjemalloc2 libstdc++6; do
  case "$depends" in *"$needed"*) ;; *) fail "proad-server does not depend on $needed: $depends" ;; esac
done
case "$(field "$packages"/proad_*.deb Depends)" in *libgrpc++1.51*) ;; *) fail "proad does not depend on gRPC" ;; esac
dpkg-deb -I "$packages/$server_package"_*.deb conffiles | grep -qx /etc/proad/proad-server.yaml || fail "the configuration is no conffile"
[ -f "$folder/root/etc/proad/proad-server.yaml" ] || fail "the configuration is not in /etc"

step "the .deb files, unpacked"
detect_with "$folder/root/usr"
step "done"
