#!/bin/sh
# Captures what a Hopper GPU computes: tools/hopper/capture.sh OUT [SEED]
# Needs nvcc, nvidia-smi and one H100, H200, H800 or H20. Then, anywhere: karat evidence OUT
set -eu

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: $0 OUT [SEED]" >&2
  exit 2
fi
out=$1
seed=${2:-1}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"
out=$(cd "$out" && pwd)
if [ -e "$out/manifest.json" ]; then
  echo "$out: holds a capture already; choose another folder" >&2
  exit 2
fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
"$here/build.sh" "$build"

# What the published tables predict. A GPU that differs is worth a capture all the more.
"$build/count_powers" >&2 ||
  echo "ex2: not the predicted 5125875 3262733 0; numerics/functions/mufu is refuted here" >&2
for program in capture_steps capture_functions capture_attention capture_timings; do
  echo "$program" >&2
  "$build/$program" "$out" "$seed"
done

# The sample that fits into tests/data/hopper: everything but the two octaves.
query() { nvidia-smi --query-gpu="$1" --format=csv,noheader -i 0; }
gpu=$(query name)
driver=$(query driver_version)
clocks="SM $(query clocks.max.sm), memory $(query clocks.max.memory), now SM $(query clocks.sm)"
toolkit=$(nvcc --version | sed -n 's/.*release \([^,]*\),.*/\1/p')
manifest() {
  printf '{\n  "schema": "karat-capture/1",\n  "origin": "hardware",\n'
  printf '  "gpu": "%s",\n  "driver": "%s",\n  "toolkit": "%s",\n  "clocks": "%s",\n' \
    "$gpu" "$driver" "$toolkit" "$clocks"
  printf '  "seed": "%s",\n  "date": "%s",\n  "files": [' "$seed" "$(date -u +%Y-%m-%d)"
  separator=''
  for file in *.safetensors timings.json; do
    printf '%s\n    {"name": "%s", "sha256": "%s"}' "$separator" "$file" \
      "$(sha256sum "$file" | cut -d' ' -f1)"
    separator=','
  done
  printf '\n  ]\n}\n'
}
cd "$out"
mkdir -p sample
for file in *.safetensors timings.json; do
  case $file in octave_*) ;; *) cp "$file" sample/ ;; esac
done
(cd sample && manifest >manifest.json.part && mv manifest.json.part manifest.json)
manifest >manifest.json.part && mv manifest.json.part manifest.json
echo "captured in $out; next: karat evidence $out" >&2
