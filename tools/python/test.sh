#!/usr/bin/env bash
# Installs the Python package into build/python/venv, over the libkarat of build/release, and runs
# its tests, some of which compare with the command line of build/release. Usage:
# tools/python/test.sh [--long]
# --long adds PyTorch and diffusers (gigabytes from PyPI where the CPU index is out of reach), whole
# sweeps, and a wheel. What cannot be installed is skipped by name.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
long=0
[[ "${1:-}" == --long ]] && long=1
root="$PWD" folder="$PWD/build/python"
venv="$folder/venv" pip=("$folder/venv/bin/pip" --disable-pip-version-check -q)
library="$root/build/release/libkarat.so"

skip() { echo "skipped: $*"; }

installed() { "$venv/bin/python" -c "import $1" 2>/dev/null; }

# install MODULE PACKAGE...: true when MODULE can be imported afterwards.
install() {
  local module="$1"
  shift
  installed "$module" || "${pip[@]}" install --retries 1 --timeout 60 "$@" >/dev/null 2>&1
  installed "$module"
}

[[ -e "$library" && -e "$root/build/release/karat" ]] ||
  cmake --build --preset release --target karat_c karat || exit 1
mkdir -p "$folder"
[[ -x "$venv/bin/python" ]] || /usr/bin/python3 -m venv "$venv" || exit 1
for pair in "numpy numpy" "ml_dtypes ml_dtypes" "pytest pytest" "pybind11 pybind11" \
            "scikit_build_core scikit-build-core"; do
  read -r module package <<<"$pair"
  if ! install "$module" "$package"; then
    skip "Python package: $package cannot be installed (no package index?)"
    exit 0
  fi
done
install h5py h5py || skip "Python tests beside h5py: it cannot be installed"
install safetensors safetensors || skip "Python tests beside safetensors: it cannot be installed"
if [[ $long == 1 ]]; then
  export KARAT_LONG=1
  install torch torch --index-url https://download.pytorch.org/whl/cpu || install torch torch ||
    skip "Python tests with PyTorch: it cannot be installed"
  install triton triton || skip "Python tests with Triton: it cannot be installed"
  install diffusers diffusers transformers ||
    skip "Python tests with diffusers: it cannot be installed"
  install skimage scikit-image && install matplotlib matplotlib ||
    skip "Python tests with scikit-image and matplotlib: they cannot be installed"
  # Its data classes alone: its own requirements hold CUDA packages.
  install docstring_parser docstring-parser && install pydantic pydantic &&
    install flashinfer_bench --no-deps flashinfer-bench ||
    skip "Python tests with flashinfer-bench: it cannot be installed"
elif ! installed torch; then
  skip "Python tests with PyTorch and diffusers: tools/test.sh --long"
fi

settings=(--config-settings "cmake.define.KARAT_LIBRARY=$library"
          --config-settings "build-dir=$folder/extension")
"${pip[@]}" install --no-deps --no-build-isolation --force-reinstall "${settings[@]}" \
  ./tools/python || exit 1
if [[ $long == 1 ]]; then
  "${pip[@]}" wheel --no-deps --no-build-isolation "${settings[@]}" -w "$folder/wheels" \
    ./tools/python || exit 1
  ls "$folder"/wheels/karat-*.whl || exit 1
fi
exec "$venv/bin/python" -m pytest -q -o cache_dir="$folder/pytest" tests/python
