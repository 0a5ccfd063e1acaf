#!/usr/bin/env bash
# Measures the figures of docs/training.md again: tools/training.sh [OPTION] [FOLDER]
#   (nothing)  from the shipped weights: Table A's rows of training seed 0, and the schedules
#   --quick    one sample of two rows, to see that it runs
#   --all      trains everything anew, three seeds, and measures all rows
#   --page     no measuring: writes tables and pictures of docs/training.md from FOLDER/results
# Results go to FOLDER (out/training). Stopped, it continues where it was when given again; a folder
# keeps to the shipped weights or to --all, and what was measured from other weights or settings is
# refused. Processes have one thread. KARAT names the command karat (build/release/karat otherwise),
# which chooses schedules. PYTHON names an interpreter with karat, torch, safetensors,
# scikit-image and, for --page, matplotlib (build/python/venv of tools/python/test.sh --long
# otherwise). Without them --quick is skipped, anything else fails.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=default
case "${1:-}" in
  --quick | --all | --page) mode=${1#--}; shift ;;
  -*) echo "$1: is no option; tools/training.sh [--quick | --all | --page] [FOLDER]" >&2; exit 2 ;;
esac
out=${1:-out/training}
here=tools/python/examples/tiny_video_dit
python=${PYTHON:-build/python/venv/bin/python}
modules=(karat torch safetensors skimage scipy PIL)
[[ $mode != page ]] || modules+=(matplotlib)
for module in "${modules[@]}"; do
  if ! "$python" -c "import $module" 2>/dev/null; then
    if [[ $mode == quick ]]; then
      echo "skipped: training, $module cannot be imported by $python"
      exit 0
    fi
    echo "tools/training.sh: $module cannot be imported by $python; install it, or set PYTHON" >&2
    exit 1
  fi
done
mkdir -p "$out/results" "$out/weights"
if [[ $mode == default || $mode == all ]]; then
  [[ -e "$out/mode" ]] || echo "$mode" >"$out/mode"
  if [[ $(<"$out/mode") != "$mode" ]]; then
    echo "$out: holds a run of other weights ($(<"$out/mode")); give another FOLDER" >&2
    exit 2
  fi
  export KARAT=${KARAT:-build/release/karat}
  if ! "$KARAT" --version >/dev/null 2>&1; then
    echo "tools/training.sh: $KARAT cannot be run; build it, or set KARAT" >&2
    exit 1
  fi
fi
run() { "$python" -B "$here/$1.py" "${@:2}"; }

# train NAME OPTIONS...: weights into $out/weights
train() {
  [ -e "$out/weights/$1.safetensors" ] && return
  run train "${@:2}" --out "$out/runs/$1"
  cp "$out/runs/$1/weights.safetensors" "$out/weights/$1.part"
  mv "$out/weights/$1.part" "$out/weights/$1.safetensors"
}

measure() {  # FOLDER_OF_WEIGHTS TRAINING_SEEDS
  run table_a --weights "$1" --seeds "$2" --work "$out/samples" --out "$out/results/table_a.json"
  run schedules --weights "$1" --work "$out/loop" --out "$out/results/schedules.json"
}

case $mode in
  quick)
    rm -rf "$out/quick" "$out/results/quick.json"
    run table_a --seeds 0 --rows 0,5 --samples 1 --held-out 4 --work "$out/quick" \
      --out "$out/results/quick.json"
    ;;
  default) measure "$here/weights" 0 ;;
  all)
    [ -e "$out/weights/features.safetensors" ] ||
      run features --out "$out/weights/features.safetensors"
    for seed in 0 1 2; do
      train "base-$seed" --plan base --seed "$seed"
      start=$out/weights/base-$seed.safetensors
      train "control-$seed" --plan finetune --seed "$seed" --from "$start"
      for kernel in coarse_ste coarse_qat fine_ste fine_qat; do
        train "$kernel-$seed" --plan finetune --seed "$seed" --kernel "$kernel" --from "$start"
      done
    done
    measure "$out/weights" 0,1,2
    ;;
  page)
    for file in table_a schedules; do
      [ ! -e "$out/results/$file.json" ] || cp "$out/results/$file.json" "$here/results/"
    done
    run tables docs/training.md
    run charts --out docs/pictures --samples "$out/samples"
    ;;
esac
