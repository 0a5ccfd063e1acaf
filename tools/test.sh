#!/usr/bin/env bash
# Everything from a fresh Debian 12 machine to tested: packages, build, sanitizers, fuzzing, ctest.
# Usage: tools/test.sh [--long]     --long adds the exhaustive sweeps, the large cases and
#                                   another half minute of fuzzing a target
# Ends with ctest's summary; the exit status is 0 only when every stage passed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
source tools/setup.sh

long=0
for argument in "$@"; do
  case "$argument" in
    --long) long=1 ;;
    *) karat_die "unknown argument $argument; usage: tools/test.sh [--long]" ;;
  esac
done

jobs="$(nproc)"
# What reads foreign bytes or computes indices. Numeric sweeps are too slow under sanitizers, and so
# are those tests of golden that run one engine over and over.
sanitized_tests=(files video mask quant recipe golden)
engines='Diagnose(Sweep|Planted|Noise|Gradients|Masks|Nan)|CheckGradients|Doubts|SpecialFunctions'
skipped=()
failed=()

stage() { echo "== $*"; }

build() {  # PRESET TARGET...: quiet unless it fails
  local preset="$1" log="build/$1.log"
  shift
  cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"} >"$log" 2>&1 && return
  tail -n 60 "$log"
  return 1
}

# One instrumented build serves the sanitized tests and the fuzz targets. Without clang++ there are
# no fuzz targets, and g++ builds the tests.
# ctest without a line for each test that passed: what failed stays in sight. All lines: LOG.
run_ctest() {  # LOG ARGUMENT...
  local log="build/$1"
  shift
  ctest "$@" -j "$jobs" 2>&1 | tee "$log" | grep -vE '^ +Start +[0-9]+: | Passed +[0-9.]+ sec'
}

run_instrumented() {
  local preset=fuzz targets=(fuzzers) pattern seconds=$((long ? 60 : 30))
  stage "address and undefined-behaviour sanitizers"
  if ! command -v clang++ >/dev/null; then
    preset=asan targets=()
    skipped+=("fuzzing: no clang++")
  fi
  if ! { cmake --preset "$preset" -DKARAT_FUZZ_SECONDS="$seconds" >/dev/null &&
         build "$preset" "${targets[@]}" "${sanitized_tests[@]/#/test_}"; }; then
    failed+=("build with sanitizers")
    return
  fi
  pattern="^($(IFS='|'; echo "${sanitized_tests[*]}"))\."
  run_ctest sanitized-tests.log --test-dir "build/$preset" --output-on-failure -R "$pattern" \
    -E "$engines" || failed+=("tests with sanitizers")
  [[ $preset == fuzz ]] || return
  stage "fuzzing, $seconds seconds a target"
  run_ctest fuzzing.log --preset fuzz || failed+=("fuzzing")
}

run_python() {
  stage "Python package"
  local log=build/python.log line arguments=()
  [[ $long == 1 ]] && arguments=(--long)
  tools/python/test.sh "${arguments[@]}" 2>&1 | tee "$log"
  [[ ${PIPESTATUS[0]} == 0 ]] || failed+=("Python package")
  while read -r line; do skipped+=("${line#skipped: }"); done < <(grep '^skipped: ' "$log")
}

karat_setup
mkdir -p build
stage "release build"
cmake --preset release || karat_die "configuring failed"
build release || karat_die "building failed: see build/release.log"
run_instrumented
run_python
[[ -d "$(sed -n 's/^KARAT_DATA_DIR:PATH=//p' build/release/CMakeCache.txt)" ]] ||
  skipped+=("measured hardware rows: KARAT_DATA_DIR is not there")
[[ $long == 1 ]] || skipped+=("exhaustive sweeps and large cases: tools/test.sh --long")

for what in "${skipped[@]}"; do echo "skipped: $what"; done
for what in "${failed[@]}"; do echo "FAILED: $what"; done
stage "tests"
if [[ $long == 1 ]]; then export KARAT_LONG=1; fi
run_ctest tests.log --preset release || failed+=("tests")
[[ ${#failed[@]} == 0 ]]
