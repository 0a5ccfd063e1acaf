// Captures functions of one number: FP8 conversions, ex2.approx and rcp.approx over all inputs.
// Usage: capture_functions OUT; writes OUT/sweep_*, octave_* and f16_conversion.safetensors.
#include <numeric>

#include "capture_file.hpp"
#include "karat/evidence/inputs.hpp"
#include "karat/evidence/octave.hpp"

namespace karat::capture {
namespace {

constexpr int kThreads = 256;

/// Both halves convert the same number; unequal halves would show as bit 8.
struct ConvertF32 {
  static constexpr const char* name = "cvt.rn.satfinite.e4m3x2.f32";
  __device__ static std::uint32_t apply(std::uint32_t x) {
    std::uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %1;" : "=h"(pair) : "f"(__uint_as_float(x)));
    return (pair & 0xFFu) | (pair >> 8 == (pair & 0xFF) ? 0u : 0x100u);
  }
};

struct ConvertF16 {
  static constexpr const char* name = "cvt.rn.satfinite.e4m3x2.f16x2";
  __device__ static std::uint32_t apply(std::uint32_t x) {
    std::uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f16x2 %0, %1;" : "=h"(pair) : "r"(x | x << 16));
    return (pair & 0xFFu) | (pair >> 8 == (pair & 0xFF) ? 0u : 0x100u);
  }
};

/// A special function that rises (1) or falls (-1) over the octave.
#define KARAT_SPECIAL(Type, text, sign)                                    \
  struct Type {                                                            \
    static constexpr const char* name = text;                              \
    static constexpr int direction = sign;                                 \
    __device__ static std::uint32_t apply(std::uint32_t x) {               \
      float y;                                                             \
      asm(text " %0, %1;" : "=f"(y) : "f"(__uint_as_float(x)));            \
      return __float_as_uint(y);                                           \
    }                                                                      \
  };
KARAT_SPECIAL(Ex2, "ex2.approx.ftz.f32", 1)
KARAT_SPECIAL(Rcp, "rcp.approx.ftz.f32", -1)

/// One CTA per block of 2^20 inputs.
template <class Function>
__global__ void sweep(unsigned long long* hashes, std::uint32_t* samples) {
  const std::uint32_t first = blockIdx.x << evidence::kSweepBlockBits;
  unsigned long long sum = 0;
  for (std::uint32_t i = threadIdx.x; i < 1u << evidence::kSweepBlockBits; i += kThreads) {
    const std::uint32_t y = Function::apply(first + i);
    sum += evidence::fingerprint(first + i, y);
    if (i % evidence::kSampleStride == 0 && i / evidence::kSampleStride < evidence::kSamples)
      samples[blockIdx.x * evidence::kSamples + i / evidence::kSampleStride] = y;
  }
  atomicAdd(hashes + blockIdx.x, sum);
}

template <class Function>
__global__ void evaluate(std::uint32_t first, std::uint32_t count, std::uint32_t* results) {
  for (std::uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads)
    results[i] = Function::apply(first + i);
}

template <class Function>
std::vector<std::uint32_t> results(std::uint32_t first, std::uint32_t count) {
  DeviceArray<std::uint32_t> device(count);
  evaluate<Function><<<1024, kThreads>>>(first, count, device.data());
  finish(Function::name);
  return device.download();
}

template <class Function>
void capture_sweep(const Options& options) {
  DeviceArray<unsigned long long> hashes(evidence::kSweepBlocks);
  DeviceArray<std::uint32_t> samples(std::size_t{evidence::kSweepBlocks} * evidence::kSamples);
  sweep<Function><<<evidence::kSweepBlocks, kThreads>>>(hashes.data(), samples.data());
  finish(Function::name);
  const std::vector<unsigned long long> sums = hashes.download();
  std::vector<std::uint32_t> blocks(evidence::kSweepBlocks);
  std::iota(blocks.begin(), blocks.end(), 0u);
  CaptureFile file({{"program", "sweep"}, {"instruction", Function::name}});
  file.add("block", {blocks.size()}, blocks);
  file.add("hashes", {sums.size()}, std::vector<std::uint64_t>(sums.begin(), sums.end()));
  file.add("samples", {blocks.size(), evidence::kSamples}, samples.download());
  file.write(options.out + "/sweep_" + Function::name + ".safetensors");
  std::printf("%s\n", Function::name);
}

template <class Function>
void capture_octave(const Options& options) {
  const evidence::PackedOctave packed = evidence::pack_octave(
      results<Function>(evidence::kOctaveFirst, evidence::kOctaveSize), Function::direction);
  CaptureFile file({{"program", "octave"}, {"instruction", Function::name}});
  file.add("symbols", {packed.symbols.size()}, packed.symbols);
  file.add("escapes", {packed.escapes.size()}, packed.escapes);
  file.write(options.out + "/octave_" + Function::name + ".safetensors");
}

void capture_f16_conversion(const Options& options) {
  const std::vector<std::uint32_t> codes = results<ConvertF16>(0, 1u << 16);
  CaptureFile file({{"program", "f16_conversion"}, {"instruction", ConvertF16::name}});
  file.add("codes", {codes.size()}, std::vector<std::uint16_t>(codes.begin(), codes.end()));
  file.write(options.out + "/f16_conversion.safetensors");
  std::printf("%s\n", ConvertF16::name);
}

}  // namespace
}  // namespace karat::capture

int main(int argc, char** argv) {
  using namespace karat::capture;
  const Options options = parse_options(argc, argv);
  capture_f16_conversion(options);
  capture_sweep<ConvertF32>(options);
  capture_octave<Ex2>(options);
  capture_sweep<Ex2>(options);
  capture_octave<Rcp>(options);
  capture_sweep<Rcp>(options);
}
