#!/bin/sh
# Measures every figure of docs/findings.md again: tools/findings.sh [KARAT] [FOLDER]
# Some five minutes on two free cores. Stopped, it continues where it was.
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
python3 -B "$here/findings_tables.py" "$out"
