#!/bin/sh
# Measures every figure of docs/findings.md again: tools/findings.sh [KARAT] [FOLDER]
# Some five minutes on two free cores, of which the gradients take two. Stopped, it continues where
# it was.
set -eu
karat=${1:-build/release/karat}
out=${2:-out/findings}
mkdir -p "$out"
here=$(dirname "$0")

study() {  # NAME OPTIONS...
  name=$1
  shift
  "$karat" study "$@" --out "$out/$name.h5" --figures "$out/$name.csv" --html "$out/$name.html" --json \
    >"$out/$name.json"
}

study main --prompts 3 --steps 0,24,49 --heads 0,1,9 --rows 128 \
  --recipes fpsattention,fpsattention_coarse,naive_fp8_sparse
study sweep --grid 12,24,32 --prompts 3 --steps 24 --heads 0,1,9 --rows 64 --draws 4 --conditional-only \
  --recipes fpsattention,fpsattention_flex --sweep tile,window,p,promotion,scale
printf '%s\n' '{"base": "sta_bf16", "name": "tokens_7x13x13",' \
  ' "mask": {"unit": "tokens_exact", "window": [7, 13, 13]}}' >"$out/tokens_7x13x13.json"
study mass --prompts 1 --steps 0,24,49 --heads 0,1,2,4,9 --rows 64 --draws 8 --conditional-only --ladder none \
  --recipes "sta_bf16,$out/tokens_7x13x13.json"
for window in 3,3,3 3,3,1; do
  name=fp8_gradients
  [ "$window" = 3,3,3 ] || name=fp8_gradients_coarse
  printf '%s\n' "{\"base\": \"fps_qat_fp8\", \"name\": \"$name\", \"mask\": {\"window\": [$window]}," \
    ' "backward": {"promote": "block", "do_format": "e4m3", "do_group": "block",' \
    ' "ds_format": "e4m3", "ds_group": "block"}}' >"$out/$name.json"
done
gradients() {  # NAME OPTIONS...
  study "$@" --backward --grid 6,24,32 --prompts 3 --steps 24 --heads 0,1,9 --rows 128 --draws 4
}
gradients gradients --recipes \
  "$out/fp8_gradients_coarse.json,$out/fp8_gradients.json,fps_qat_fp8,fps_ste_bf16,attn_qat_fp8,cudnn_fp8_hopper"
printf '%s\n' '{"base": "cudnn_fp8_hopper", "name": "cudnn_times_4", "q": {"multiplier": 4},' \
  ' "k": {"multiplier": 4}, "v": {"multiplier": 4}}' >"$out/cudnn_times_4.json"
gradients gradient_edits --ladder none --recipes "$out/fp8_gradients_coarse.json,$out/cudnn_times_4.json" \
  --sweep p_in_dv,do,ds,delta
python3 -B "$here/findings_tables.py" "$out"
