#!/usr/bin/env bash
# Lists or copies exactly the files that the programs need at run time, for images and packages.
#
#   docker/runtime_files.sh [--bundled] [--link] BUILD_OR_PREFIX [DEST]
#
#   BUILD_OR_PREFIX  a build folder (build/release), or a prefix of `cmake --install` (/opt/proad)
#   DEST             an empty folder for a root file system: each file is copied to its path below it, and the entries of
#                    /etc and the empty folders that a container needs are added. Without DEST the paths are printed.
#   --bundled        only the libraries that no Debian package contains: LibTorch's, and CUDA's for a CUDA build
#   --link           hard links instead of copies if the file system allows them; faster, for tests only
#
# The list comes from the loader (ldd) for the programs and for the libraries that they open by name at run time, with the
# copyright file of each Debian package. libcuda.so.1 is omitted because it belongs to the machine's driver.
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
extras=()  # data files of an installation
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
[ ${#programs[@]} -gt 0 ] || fail "no programs in $from: build or install them first"

# closure FILE...: prints the libraries that the loader loads for them, one path per line.
closure() {
  local listing
  listing="$(ldd "$@")" || fail "ldd: $listing"
  if grep 'not found' <<<"$listing" | grep -qv 'libcuda\.so\.1'; then
    fail "libraries are missing: $(grep 'not found' <<<"$listing" | grep -v 'libcuda\.so\.1' | sort -u | tr -s '\n\t ' ' ')"
  fi
  sed -n 's/^\t.* => \(\/[^ ]*\) (0x.*/\1/p; s/^\t\(\/[^ ]*\) (0x.*/\1/p' <<<"$listing" | sort -u
}

# Libraries that CUDA builds open by name: cuDNN's parts for convolutions, NVRTC, and LibTorch's linear algebra.
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

# Folders without links (/lib is /usr/lib), file names as the loader requests them.
mapfile -t libraries < <(while read -r file; do echo "$(realpath "${file%/*}")/${file##*/}"; done <<<"$libraries" | sort -u)
count="$(printf '%s\n' "${libraries[@]}" | grep -c '/libgomp\.so' || true)"
[ "$count" -le 1 ] || fail "$count copies of libgomp would be loaded: $(printf '%s\n' "${libraries[@]}" | grep /libgomp)"

if [ "$bundled" = 1 ]; then
  # In DEST all of these are in one folder.
  files=()
  for file in "${libraries[@]}"; do
    case "$file" in /usr/lib/* | /lib/* | /lib64/* | /usr/lib64/*) ;; *) files+=("$file") ;; esac
  done
else
  # dpkg may know a file by its path, by its path without /usr, or by the target of its link.
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
  # Links are followed: each file exists once, under the requested name.
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
  chown 65532:65532 "$dest/var/lib/proad" 2>/dev/null || true  # only root may
fi
echo "runtime_files.sh: ${#files[@]} files, $(du -sm --apparent-size "$dest" | cut -f1) MB in $dest" >&2
