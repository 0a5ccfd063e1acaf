#!/usr/bin/env bash
# Builds the libFuzzer targets of tests/fuzz with clang++ and runs each for some seconds.
# Usage: tools/fuzz.sh [SECONDS]     a crash leaves its input in build/fuzz/findings
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-60}"
findings="$PWD/build/fuzz/findings"

mkdir -p "$findings"
cmake -S . -B build/fuzz -G Ninja -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DCMAKE_CXX_FLAGS="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" \
  -DKARAT_BUILD_FUZZERS=ON -DKARAT_BUILD_TESTS=ON >/dev/null
cmake --build build/fuzz -j "$(nproc)" --target fuzzers >build/fuzz.log 2>&1 ||
  { tail -n 60 build/fuzz.log; exit 1; }

fuzz_one() {
  local target="$1" name log corpus
  name="$(basename "$target")"
  log="build/fuzz/$name.log"
  corpus=("build/fuzz/corpus/$name")
  mkdir -p "${corpus[0]}"
  [[ -d "$(<"$target.seeds")" ]] && corpus+=("$(<"$target.seeds")")
  if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1500 -use_value_profile=1 \
    -artifact_prefix="$findings/$name-" "${corpus[@]}" >"$log" 2>&1; then
    echo "$name: $(grep -o 'Done .*' "$log" | tail -n 1)"
  else
    echo "$name: FAILED, see $log"
    tail -n 20 "$log"
    return 1
  fi
}
export -f fuzz_one
export seconds findings
# shellcheck disable=SC2016  # the inner bash expands $0
find build/fuzz/tests/fuzz -maxdepth 1 -type f -name 'fuzz_*' -perm -u+x -print0 |
  xargs -0 -r -n 1 -P "$(nproc)" bash -c 'fuzz_one "$0"'
