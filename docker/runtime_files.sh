#!/usr/bin/env bash
# The files that the programs need at run time, and no others: for images, and for packages.
#
#   docker/runtime_files.sh [--bundled] [--link] BUILD_OR_PREFIX [DEST]
#
#   BUILD_OR_PREFIX  a build folder (build/release), or where `cmake --install` put it (/opt/proad)
#   DEST             a root file system to be: each file is copied to the path that it has here, and the few entries of
#                    /etc and empty folders that a container wants are added. Without it the paths are printed.
#   --bundled        only the libraries that no Debian package holds: LibTorch's, and CUDA's of a CUDA build
#   --link           hard links instead of copies where the file system allows it: at once, but for tests only
#
# The list is what the loader says (ldd) of the programs and of the libraries that are opened by name while they run;
# with each file of a Debian package its copyright. libcuda.so.1 is left out: it belongs to the machine's driver.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0"; }
fail() { echo "runtime_files.sh: $*" >&2; exit 1; }

bundled=0
link=0
words=()
for word in "$@"; do
  case "$word" in
    --bundled) bundled=1 ;;
    --link) link=1 ;;
    -h | --help) usage; exit 0 ;;
    -*) echo "runtime_files.sh: unknown option '$word' (known: --bundled, --link)" >&2; exit 2 ;;
    *) words+=("$word") ;;
  esac
done
if [ ${#words[@]} -lt 1 ] || [ ${#words[@]} -gt 2 ]; then usage >&2; exit 2; fi
from="$(realpath -e "${words[0]}")"

programs=()
extras=()  # files of an installation that are read, not run
if [ -e "$from/CMakeCache.txt" ]; then
  for program in client/proad server/proad-server server/proad-trainer; do
    [ ! -x "$from/$program" ] || programs+=("$from/$program")
  done
else
  for program in proad proad-server proad-trainer; do
    [ ! -x "$from/bin/$program" ] || programs+=("$from/bin/$program")
  done
  for folder in etc/proad share/proad share/doc/proad; do
    [ ! -d "$from/$folder" ] || mapfile -t -O "${#extras[@]}" extras < <(find "$from/$folder" -type f | sort)
  done
fi
[ ${#programs[@]} -gt 0 ] || fail "no programs in $from: build them, or install them there, first"

# closure FILE...: what the loader loads for them, one path a line.
closure() {
  local listing
  listing="$(ldd "$@")" || fail "ldd: $listing"
  if grep 'not found' <<<"$listing" | grep -qv 'libcuda\.so\.1'; then
    fail "libraries are missing: $(grep 'not found' <<<"$listing" | grep -v 'libcuda\.so\.1' | sort -u | tr -s '\n\t ' ' ')"
  fi
  sed -n 's/^\t.* => \(\/[^ ]*\) (0x.*/\1/p; s/^\t\(\/[^ ]*\) (0x.*/\1/p' <<<"$listing" | sort -u
}

# What CUDA builds open by name: cuDNN's parts for convolutions, NVRTC and LibTorch's linear algebra on first use.
opened_by_name() {
  local cuda folder
  cuda="$(grep -m1 '/libtorch_cuda\.so$' <<<"$1")" || return 0
  for folder in "$(dirname "$cuda")" $(grep -E '/lib(cudnn|cudart)\.so\.' <<<"$1" | xargs -r dirname | sort -u); do
    find "$folder" -maxdepth 1 \( -name 'libcudnn_*.so.*' -o -name 'libnvrtc.so.*' -o -name 'libnvrtc-builtins.so.*' \
      -o -name libcaffe2_nvrtc.so -o -name libtorch_cuda_linalg.so \)
  done | sort -u
}

libraries="$(closure "${programs[@]}")"
mapfile -t opened < <(opened_by_name "$libraries")
[ ${#opened[@]} -eq 0 ] || libraries="$(sort -u <(echo "$libraries") <(printf '%s\n' "${opened[@]}") <(closure "${opened[@]}"))"

# The folder of each is written without links (/lib is /usr/lib), its name as the loader asks for it.
mapfile -t libraries < <(while read -r file; do echo "$(realpath "${file%/*}")/${file##*/}"; done <<<"$libraries" | sort -u)
count="$(printf '%s\n' "${libraries[@]}" | grep -c '/libgomp\.so' || true)"
[ "$count" -le 1 ] || fail "$count copies of libgomp would be loaded: $(printf '%s\n' "${libraries[@]}" | grep /libgomp)"

if [ "$bundled" = 1 ]; then
  # The loader must find in one folder what it finds in several here.
  files=()
  for file in "${libraries[@]}"; do
    case "$file" in /usr/lib/* | /lib/* | /lib64/* | /usr/lib64/*) ;; *) files+=("$file") ;; esac
  done
else
  # A file may be known to dpkg by its name, by its place below / or by what a link leads to.
  mapfile -t packages < <(
    for file in "${libraries[@]}"; do
      real="$(realpath "$file")"
      printf '%s\n' "$file" "${file#/usr}" "$real" "${real#/usr}"
    done | sort -u | xargs dpkg -S 2>/dev/null | sed 's/: .*//; s/, /\n/g; s/:[^:]*$//' | sort -u)
  copyrights=()
  for package in "${packages[@]}"; do
    [ ! -e "/usr/share/doc/$package/copyright" ] || copyrights+=("/usr/share/doc/$package/copyright")
  done
  files=("${programs[@]}" "${libraries[@]}" "${extras[@]}" "${copyrights[@]}")
fi

if [ ${#words[@]} -eq 1 ]; then
  printf '%s\n' "${files[@]}"
  exit 0
fi

dest="$(realpath -m "${words[1]}")"
mkdir -p "$dest"
[ -z "$(ls -A "$dest")" ] || fail "$dest is not empty"
for file in "${files[@]}"; do
  mkdir -p "$dest${file%/*}"
  # Links are followed: a file is there once, under the name that is asked for.
  if [ "$link" = 0 ] || ! ln -L "$file" "$dest$file" 2>/dev/null; then
    cp -L --preserve=mode,timestamps "$file" "$dest$file"
  fi
done
if [ "$bundled" = 0 ]; then
  for folder in lib lib64; do
    [ ! -d "$dest/usr/$folder" ] || ln -s "usr/$folder" "$dest/$folder"
  done
  mkdir -p "$dest/dev" "$dest/etc" "$dest/proc" "$dest/sys" "$dest/var/lib/proad"
  install -d -m 1777 "$dest/tmp"
  echo 'proad:x:65532:65532:Pro-AD Server:/var/lib/proad:/sbin/nologin' >"$dest/etc/passwd"
  echo 'proad:x:65532:' >"$dest/etc/group"
  echo 'hosts: files dns' >"$dest/etc/nsswitch.conf"
  chown 65532:65532 "$dest/var/lib/proad" 2>/dev/null || true  # only root can
fi
echo "runtime_files.sh: ${#files[@]} files, $(du -sm --apparent-size "$dest" | cut -f1) MB in $dest" >&2
