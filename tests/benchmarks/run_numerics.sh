#!/bin/sh
# Numerics benchmarks beside their yardsticks. OpenBLAS reads OPENBLAS_CORETYPE when it is loaded,
# so each sgemm kernel needs a process of its own: AVX-512 where the processor has it, then AVX2.
# usage: tests/benchmarks/run_numerics.sh [build folder] [Google Benchmark options]
set -eu
build=${1:-build/release}
[ $# -gt 0 ] && shift
program="$build/tests/benchmarks/benchmark_numerics"
if [ ! -x "$program" ]; then
  echo "no $program; configure with -DKARAT_BUILD_BENCHMARKS=ON and build it" >&2
  exit 2
fi
options="--benchmark_repetitions=5 --benchmark_report_aggregates_only=true"
if grep -q avx512bw /proc/cpuinfo; then
  echo "== AVX-512"
  # shellcheck disable=SC2086
  OPENBLAS_CORETYPE=SkylakeX "$program" $options "$@"
fi
echo "== AVX2"
# shellcheck disable=SC2086
KARAT_BENCHMARK_TARGET=avx2 OPENBLAS_CORETYPE=Haswell "$program" $options "$@"
