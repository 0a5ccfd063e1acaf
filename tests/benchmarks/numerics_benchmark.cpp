// Speed of the numerics layer beside its yardsticks, measured in the same run: sgemm of OpenBLAS
// for products, memcpy for conversions. Run through run_numerics.sh, which chooses the sgemm
// kernel. KARAT_BENCHMARK_TARGET=avx2 limits the library to AVX2, as the script does for its second
// part.
#include <benchmark/benchmark.h>
#include <cblas.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/exp2.hpp"
#include "karat/numerics/random/philox.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"

extern "C" void openblas_set_num_threads(int);
extern "C" char* openblas_get_corename();

namespace {

using namespace karat::numerics;

constexpr std::size_t kRows = 64, kColumns = 128, kDepth = 128;

/// Processor time, as Google Benchmark's rates use, so that a busy machine does not skew ratios.
double seconds(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

double median_of_five(const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < 5; ++i) times.push_back(seconds(work));
  std::nth_element(times.begin(), times.begin() + 2, times.end());
  return times[2];
}

/// Multiply-adds per second of sgemm, 2048^3, one thread.
double sgemm_rate() {
  static const double rate = [] {
    openblas_set_num_threads(1);
    constexpr int n = 2048;
    const std::vector<float> a(n * n, 1.0f), b(n * n, 1.0f);
    std::vector<float> c(n * n);
    const double time = median_of_five([&] {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a.data(), n, b.data(), n, 0,
                  c.data(), n);
    });
    return static_cast<double>(n) * n * n / time;
  }();
  return rate;
}

/// Bytes per second of memcpy on 1 GiB, counted read and written.
double memcpy_rate() {
  static const double rate = [] {
    constexpr std::size_t size = 1u << 30;
    const std::vector<char> from(size, 1);
    std::vector<char> to(size, 2);
    return 2.0 * static_cast<double>(size) /
           median_of_five([&] { std::memcpy(to.data(), from.data(), size); });
  }();
  return rate;
}

std::vector<float> values(FormatId id, std::size_t count, std::uint64_t stream, bool positive) {
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) {
    // A sum of uniforms, near enough to normal, at a scale that uses the format's range.
    double sum = -2;
    for (int n = 0; n < 4; ++n) sum += random_uniform(1, stream, 4 * i + static_cast<std::size_t>(n));
    const double scale = id == FormatId::int8 ? 60 : id == FormatId::e4m3 ? 60 : 1;
    const double value = (positive && sum < 0 ? -sum : sum) * scale;
    x[i] = decode(encode(static_cast<float>(value), id), id);
  }
  return x;
}

void chain_rate(benchmark::State& state, const char* name, bool positive) {
  const Instruction& row = instruction(name);
  const auto a = values(row.input, kRows * kDepth, 1, positive);
  const auto b = values(row.input, kColumns * kDepth, 2, false);
  std::vector<float> d(kRows * kColumns);
  RowOperand rows;
  ColumnOperand columns;
  rows.pack(row, row_major(a.data(), kRows, kDepth));
  columns.pack(row, row_major(b.data(), kColumns, kDepth));
  for (auto _ : state) {
    chain(row, rows, columns, Start::absent, row_major(d.data(), kRows, kColumns));
    benchmark::DoNotOptimize(d.data());
  }
  const double products = static_cast<double>(kRows * kColumns * kDepth) * static_cast<double>(state.iterations());
  state.counters["MAC/s"] = benchmark::Counter(products, benchmark::Counter::kIsRate);
  state.counters["of_sgemm"] = benchmark::Counter(products / sgemm_rate(), benchmark::Counter::kIsRate);
}

void pack_rate(benchmark::State& state, bool positive) {
  const Instruction& row = instruction("hopper.wgmma.e4m3.f32");
  const auto a = values(row.input, kRows * kDepth, 1, positive);
  RowOperand rows;
  for (auto _ : state) rows.pack(row, row_major(a.data(), kRows, kDepth));
  state.SetItemsProcessed(static_cast<std::int64_t>(kRows * kDepth) * state.iterations());
}

void encode_rate(benchmark::State& state, Policy policy) {
  constexpr std::size_t count = (1u << 30) / sizeof(float);
  static const std::vector<float> x = [] {
    std::vector<float> v(count);
    for (std::size_t i = 0; i < count; ++i) v[i] = static_cast<float>(i % 4099) * 0.21f - 430;
    return v;
  }();
  static std::vector<std::uint8_t> codes(count);
  for (auto _ : state) {
    encode_e4m3(x, codes, policy);
    benchmark::ClobberMemory();
  }
  const double bytes = 5.0 * static_cast<double>(count) * static_cast<double>(state.iterations());
  state.counters["B/s"] = benchmark::Counter(bytes, benchmark::Counter::kIsRate);
  state.counters["of_memcpy"] = benchmark::Counter(bytes / memcpy_rate(), benchmark::Counter::kIsRate);
}

/// Scores below their maximum, as in a softmax, in rows of the given length.
void exp2_rate(benchmark::State& state, std::size_t length) {
  std::vector<float> x(16384 / length * length), y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(-30 * random_uniform(1, 3, i));
  }
  for (auto _ : state) {
    for (std::size_t at = 0; at < x.size(); at += length) {
      exp2_rounded({&x[at], length}, {&y[at], length});
    }
    benchmark::DoNotOptimize(y.data());
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(x.size()) * state.iterations());
}

void register_all() {
  for (const char* name : {"hopper.wgmma.e4m3.f32", "hopper.wgmma.bf16.f32", "hopper.wgmma.s8.s32",
                           "hopper.mma.e4m3.f32", "ada.mma.e4m3.f32", "f32.fma", "exact"}) {
    benchmark::RegisterBenchmark((std::string("chain/") + name).c_str(), chain_rate, name, false);
  }
  benchmark::RegisterBenchmark("chain/hopper.wgmma.e4m3.f32/P", chain_rate, "hopper.wgmma.e4m3.f32",
                               true);
  benchmark::RegisterBenchmark("pack_rows/mixed_signs", pack_rate, false);
  benchmark::RegisterBenchmark("pack_rows/P", pack_rate, true);
  const std::pair<const char*, Policy> policies[] = {
      {"saturate", {.overflow = Overflow::saturate}},
      {"nan", {.overflow = Overflow::nan}},
      {"infinity", {.overflow = Overflow::infinity}},
      {"stochastic", {.rounding = Rounding::stochastic}}};
  for (const auto& [name, policy] : policies) {
    benchmark::RegisterBenchmark((std::string("encode_e4m3/") + name).c_str(), encode_rate, policy)
        ->Unit(benchmark::kMillisecond);
  }
  for (const std::size_t length : {std::size_t{16384}, std::size_t{33}, std::size_t{7}}) {
    benchmark::RegisterBenchmark(("exp2_rounded/rows_of_" + std::to_string(length)).c_str(),
                                 exp2_rate, length);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const char* target = std::getenv("KARAT_BENCHMARK_TARGET");
  if (target && std::string(target) == "avx2") hwy::DisableTargets(HWY_AVX3 | HWY_AVX3_DL);
  std::printf("sgemm 2048^3, one thread, %s kernel: %.1f GMAC/s\n", openblas_get_corename(),
              sgemm_rate() * 1e-9);
  std::printf("memcpy 1 GiB, read + written: %.1f GB/s\n", memcpy_rate() * 1e-9);
  register_all();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
