#!/usr/bin/env bash
# Every C++ file is laid out as .clang-format says. To mend: clang-format-14 -i FILE...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
if ! command -v clang-format-14 >/dev/null; then
  echo "format_check: clang-format-14 is missing: run docker/install_deps.sh"
  exit 77
fi
mapfile -t files < <(find model server client tests -name '*.h' -o -name '*.cc' -o -name '*.cu' | sort)
if [ ${#files[@]} -eq 0 ]; then
  echo "format_check: found no C++ files in $PWD"
  exit 1
fi
clang-format-14 --dry-run -Werror "${files[@]}"
echo "format_check: ${#files[@]} files, no finding"
