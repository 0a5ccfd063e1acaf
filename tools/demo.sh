#!/usr/bin/env bash
# From a fresh Debian 12 machine to the main job: a golden file of one FP8 sparse attention head at
# real size (Wan2.1-14B, 480p, 32760 tokens), exported, attended again from the export, and checked.
# Usage: tools/demo.sh [FOLDER]     results go to FOLDER, out/demo unless given
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/setup.sh
out="${1:-out/demo}"
karat=build/release/karat

run() {
  echo
  echo "\$ $*"
  "$@"
}

karat_setup
echo "== building"
cmake --preset release >/dev/null
cmake --build --preset release -j "$(nproc)" --target karat
mkdir -p "$out"
run $karat make --recipe fpsattention --model wan2.1-14b --resolution 480p --heads 1 -o "$out/golden.h5"
run $karat inspect "$out/golden.h5" --export "$out/tensors"
run $karat attend --recipe fpsattention --in "$out/tensors/inputs.safetensors" -o "$out/again.safetensors"
run $karat check "$out/golden.h5" "$out/again.safetensors"
cat <<END

== done
$out/golden.h5            inputs, stages, mask, outputs and FP64 truth of one head
$out/tensors/             the same as safetensors, for your kernel
$out/again.safetensors    outputs computed again from the exported tensors: equal, bit for bit

Look at: $karat inspect $out/golden.h5
         $karat recipes fpsattention
         docs/recipes/fpsattention.md    every operation and rounding in order
Yours:   write your kernel's output o as safetensors and run
         $karat check $out/golden.h5 yours.safetensors
END
