#!/usr/bin/env bash
# Everything from a fresh Debian 12 machine to tested: packages, build, sanitizers, fuzzing, ctest.
# Usage: tools/test.sh [--long]     --long adds the exhaustive sweeps, the large cases and
#                                   45 more seconds of fuzzing a target
# Begins with its plan; ends with ctest's summary, seconds of each stage, and what was skipped and
# why. The exit status is 0 only when every stage passed.
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
# Tests with threads of their own run beside each other: waiting threads that spin would take half of
# the time from the others.
export OMP_WAIT_POLICY=passive
# What reads foreign bytes or computes indices. Numeric sweeps are too slow under sanitizers, and so
# are those tests of golden that run one engine over and over.
sanitized_tests=(files video mask quant recipe golden)
engines='Diagnose(Sweep|Planted|Noise|Gradients|Masks|Nan)|CheckGradients|Doubts|SpecialFunctions'
# These check one file six to ten times, a minute each under sanitizers; other tests check it once.
((long)) || engines+='|AStageWithARowPerToken|SpecialValuesAreCounted|UlpsAreCountedInTheStagesFormat'
skipped=()
failed=()

took=() running="" since=0

# stage NAME: ends the stage before it and says so.
stage() {
  end_stage
  running="$*" since="$SECONDS"
  echo "== $*"
}

end_stage() {
  [[ -z "$running" ]] || took+=("$((SECONDS - since)) s  $running")
  running=""
}

plan() {
  local clang="address and undefined-behaviour sanitizers"
  command -v clang++ >/dev/null && clang+=", and $seconds seconds of fuzzing a target"
  cat <<END
== plan, on $jobs cores
   Debian packages that are missing (KARAT_SKIP_SETUP=1: none)
   build/release: everything and its tests
   build/fuzz or build/asan: $clang
   build/python, dist: the Python package and its tests, a wheel and a .deb that are used, meanwhile
   ctest: $( ((long)) && echo "all tests with their whole sweeps, hours" || echo "all tests; sweeps: --long")
END
}

build() {  # PRESET TARGET...: quiet unless it fails
  local preset="$1" log="build/$1.log"
  shift
  cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"} >"$log" 2>&1 && return
  tail -n 60 "$log"
  return 1
}

# ctest without a line for each test that passed: what failed stays in sight. All lines: LOG.
run_ctest() {  # LOG ARGUMENT...
  local log="build/$1"
  shift
  ctest "$@" -j "$jobs" 2>&1 | tee "$log" | grep -vE '^ +Start +[0-9]+: | Passed +[0-9.]+ sec'
}

# One instrumented build serves the sanitized tests and the fuzz targets. Without clang++ there are
# no fuzz targets, and g++ builds the tests.
run_instrumented() {
  local preset=fuzz targets=(fuzzers attention_bits) pattern
  stage "address and undefined-behaviour sanitizers"
  if ! command -v clang++ >/dev/null; then
    preset=asan targets=(attention_bits)
    skipped+=("fuzzing: no clang++")
  fi
  if ! { cmake --preset "$preset" -DKARAT_FUZZ_SECONDS="$seconds" >/dev/null &&
         build "$preset" "${targets[@]}" "${sanitized_tests[@]/#/test_}"; }; then
    failed+=("build with sanitizers")
    return
  fi
  # Its bits are compared with the release build's: test attention.bits.
  export KARAT_OTHER_BITS="$PWD/build/$preset/tests/attention/attention_bits"
  export LSAN_OPTIONS="suppressions=$PWD/tests/leaks.txt:print_suppressions=0"
  pattern="^($(IFS='|'; echo "${sanitized_tests[*]}"))\."
  run_ctest sanitized-tests.log --test-dir "build/$preset" --output-on-failure -R "$pattern" \
    -E "$engines" || failed+=("tests with sanitizers")
  [[ $preset == fuzz ]] || return
  stage "fuzzing, $seconds seconds a target"
  run_ctest fuzzing.log --preset fuzz || failed+=("fuzzing")
}

# Much of it waits for the network or uses one core, so that it runs beside the instrumented build.
start_python() {
  local arguments=()
  [[ $long == 1 ]] && arguments=(--long)
  {
    local status=0
    tools/python/test.sh "${arguments[@]}" || status=1
    tests/install/packages.sh "${arguments[@]}" || status=1
    exit "$status"
  } >build/python.log 2>&1 &
  python="$!"
  trap 'kill "$python"; exit 1' INT TERM
}

finish_python() {
  local line
  stage "Python package, wheel and .deb, begun after the release build"
  wait "$python" || failed+=("Python package, wheel or .deb: see build/python.log")
  trap - INT TERM
  cat build/python.log
  while read -r line; do skipped+=("${line#skipped: }"); done < <(grep '^skipped: ' build/python.log)
}

seconds=$((long ? 60 : 15))
plan
stage "Debian packages"
karat_setup
mkdir -p build
stage "release build"
cmake --preset release || karat_die "configuring failed"
build release || karat_die "building failed: see build/release.log"
start_python
run_instrumented
finish_python
[[ -d "$(sed -n 's/^KARAT_DATA_DIR:PATH=//p' build/release/CMakeCache.txt)" ]] ||
  skipped+=("measured hardware rows: KARAT_DATA_DIR is not there")
[[ $long == 1 ]] || skipped+=("exhaustive sweeps and large cases: tools/test.sh --long")

stage "tests"
if [[ $long == 1 ]]; then export KARAT_LONG=1; fi
run_ctest tests.log --preset release || failed+=("tests")
end_stage
echo "== $SECONDS s in all"
printf '   %s\n' "${took[@]}"
for what in "${skipped[@]}"; do echo "skipped: $what"; done
for what in "${failed[@]}"; do echo "FAILED: $what"; done
[[ ${#failed[@]} == 0 ]]
