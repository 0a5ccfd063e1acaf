#!/usr/bin/env bash
# Makes the API reference: FOLDER/cpp of C++ and C by Doxygen, FOLDER/python of Python by pdoc.
# Usage: tools/docs.sh FOLDER
# Python's part takes the package as it is installed for KARAT_PYTHON, else in build/python/venv
# (tools/python/test.sh), else for python3. What is missing is left out and named. Fails on a warning of Doxygen.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[[ $# == 1 ]] || { echo "usage: tools/docs.sh FOLDER" >&2; exit 2; }
folder="$1" status=0
mkdir -p "$folder" || exit 1
version="$(sed -n 's/^project(karat VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)"

cpp() {
  command -v doxygen >/dev/null ||
    { echo "skipped: C++ reference: no doxygen (apt install doxygen)"; return; }
  local log="$folder/doxygen.log"
  { cat docs/Doxyfile
    echo "PROJECT_NUMBER = $version"
    echo "OUTPUT_DIRECTORY = \"$folder\""
    echo "HTML_OUTPUT = cpp"
  } | doxygen - 2>"$log" || { cat "$log"; status=1; return; }
  # Doxygen 1.9 cannot place a specialisation of a template of std, and says so.
  sed -i '/Internal inconsistency: scope for class std::/d' "$log"
  if [[ -s "$log" ]]; then
    head -n 40 "$log"
    echo "doxygen: warnings, all of them in $log"
    status=1
  fi
  echo "wrote $folder/cpp/index.html"
}

python() {
  local python="${KARAT_PYTHON:-build/python/venv/bin/python}"
  [[ -x "$python" ]] || python=python3
  "$python" -c "import karat" 2>/dev/null ||
    { echo "skipped: Python reference: $python has no karat (tools/python/test.sh, or KARAT_PYTHON)"; return; }
  "$python" -c "import pdoc" 2>/dev/null ||
    { echo "skipped: Python reference: no pdoc ($python -m pip install pdoc)"; return; }
  local modules=(karat) package
  for package in torch triton; do
    if "$python" -c "import $package" 2>/dev/null; then
      modules+=("karat.$package")
    else
      echo "skipped: Python reference of karat.$package: $python has no $package"
    fi
  done
  "$python" -W ignore -m pdoc --docformat markdown -o "$folder/python" "${modules[@]}" || status=1
  echo "wrote $folder/python/karat.html"
}

cpp
python
exit "$status"
