#!/usr/bin/env bash
# From a fresh Debian 12 machine to the main job: a golden file of one FP8 sparse attention head at
# real size (Wan2.1-14B, 480p, 32760 tokens), exported, attended again from the export, and checked.
# Usage: tools/demo.sh [FOLDER]     results go to FOLDER, out/demo unless given
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/setup.sh
out="${1:-out/demo}"
karat=build/demo/karat

# run WHAT COMMAND...: shows the command, and afterwards how long it took.
run() {
  local what="$1" begin="$SECONDS"
  shift
  echo
  echo "\$ $*"
  "$@"
  took+=("$((SECONDS - begin)) s  $what")
}
took=()

echo "== plan: missing Debian packages; building karat alone, without tests, for this machine's
   vectors, on $(nproc) cores, minutes the first time; make, export, attend and check of
   one head (a minute)"
begin="$SECONDS"
karat_setup
took+=("$((SECONDS - begin)) s  Debian packages")
echo "== building"
cmake --preset demo >/dev/null
# Sources done of all, and seconds so far.
export NINJA_STATUS="[%f/%t, %e s] "
run "building karat" cmake --build --preset demo -j "$(nproc)"
mkdir -p "$out"
run "make" $karat make --recipe fpsattention --model wan2.1-14b --resolution 480p --heads 1 -o "$out/golden.h5"
run "export" $karat inspect "$out/golden.h5" --export "$out/tensors"
run "attend" $karat attend --recipe fpsattention --in "$out/tensors/inputs.safetensors" -o "$out/again.safetensors"
run "check" $karat check "$out/golden.h5" "$out/again.safetensors"
echo
echo "== $SECONDS s in all"
printf '   %s\n' "${took[@]}"
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
