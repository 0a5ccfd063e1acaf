#!/bin/sh
# Compiles and links the capture programs: tools/hopper/build.sh FOLDER
# Needs nvcc 12.4 or newer and nothing else of karat's packages. Exit code 77: no nvcc.
set -eu

if [ $# -ne 1 ]; then
  echo "usage: $0 FOLDER" >&2
  exit 2
fi
if ! command -v nvcc >/dev/null; then
  echo "nvcc: not found; install the CUDA toolkit" >&2
  exit 77
fi
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
mkdir -p "$1/include/karat"
folder=$(cd "$1" && pwd)
ln -sfn "$root/numerics" "$folder/include/karat/numerics"

# A program is up to date when it is newer than everything it could include.
is_current() {
  [ -x "$1" ] && [ -z "$(find "$here" "$root/include/karat/evidence" "$root/include/karat/golden" \
    "$root/numerics" -newer "$1" \( -name '*.cu' -o -name '*.cuh' -o -name '*.hpp' \) -print)" ]
}

# build PROGRAM [OPTION]. --expt-relaxed-constexpr: the shared headers are constexpr and serve as
# device code.
build() {
  if is_current "$folder/$1"; then return; fi
  nvcc -std=c++20 -O3 --generate-code=arch=compute_90a,code=sm_90a --expt-relaxed-constexpr \
    ${2:+"$2"} -I "$root/include" -I "$folder/include" "$here/$1.cu" -o "$folder/$1.part"
  mv "$folder/$1.part" "$folder/$1"
}

build capture_steps &
steps=$!
build capture_functions &
functions=$!
# FlashAttention flushes subnormals in its FP32 arithmetic; so does the small kernel.
build capture_attention --ftz=true &
attention=$!
build count_powers
build capture_timings
wait "$steps"
wait "$functions"
wait "$attention"
