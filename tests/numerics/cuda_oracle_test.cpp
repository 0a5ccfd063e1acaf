// NVIDIA's own host conversions (cuda_fp8.h needs no GPU) as one more oracle for E4M3 and E5M2.
// Built only where the CUDA toolkit's headers are found; CMake says so when they are not.
#include <cuda_bf16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <bit>
#include <vector>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "targets.hpp"

namespace karat::numerics {
namespace {

struct Mode {
  const char* policy;
  __nv_saturation_t saturation;
};
constexpr Mode kModes[] = {{"nvidia_satfinite", __NV_SATFINITE}, {"nvidia_nosat", __NV_NOSAT}};

struct Target {
  FormatId format;
  __nv_fp8_interpretation_t interpretation;
};
constexpr Target kTargets[] = {{FormatId::e4m3, __NV_E4M3}, {FormatId::e5m2, __NV_E5M2}};

TEST(CudaOracle, FloatsToFp8) {
  const std::uint64_t stride = testing::long_run() ? 1 : 1021;
  constexpr std::uint64_t kChunk = 1 << 18;
  const std::uint64_t count = ((1ull << 32) - 1) / stride + 1;
  parallel_for((count + kChunk - 1) / kChunk, 0, [&](std::size_t chunk, int) {
    std::vector<float> x;
    for (std::uint64_t i = chunk * kChunk; i < std::min(count, (chunk + 1) * kChunk); ++i) {
      x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(i * stride)));
    }
    std::vector<std::uint8_t> codes(x.size());
    for (const Target& target : kTargets) {
      for (const Mode& mode : kModes) {
        encode(x, codes, target.format, policy(mode.policy));
        for (std::size_t i = 0; i < x.size(); ++i) {
          const auto theirs = __nv_cvt_float_to_fp8(x[i], mode.saturation, target.interpretation);
          ASSERT_EQ(codes[i], theirs) << mode.policy << " " << std::hexfloat << x[i];
        }
      }
    }
  });
}

TEST(CudaOracle, EveryHalfAndBfloat16) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    for (const Target& target : kTargets) {
      for (const Mode& mode : kModes) {
        __half_raw half{};
        half.x = static_cast<unsigned short>(bits);
        __nv_bfloat16_raw bfloat{};
        bfloat.x = static_cast<unsigned short>(bits);
        // Widening keeps a NaN's sign in the header and drops it in decode(); both policies drop
        // it.
        EXPECT_EQ(encode(decode(bits, FormatId::f16), target.format, policy(mode.policy)),
                  __nv_cvt_halfraw_to_fp8(half, mode.saturation, target.interpretation)) << bits;
        EXPECT_EQ(encode(decode(bits, FormatId::bf16), target.format, policy(mode.policy)),
                  __nv_cvt_bfloat16raw_to_fp8(bfloat, mode.saturation, target.interpretation)) << bits;
      }
    }
  }
}

TEST(CudaOracle, EveryCodeDecodes) {
  for (std::uint32_t code = 0; code < 256; ++code) {
    for (const Target& target : kTargets) {
      const __half_raw half = __nv_cvt_fp8_to_halfraw(static_cast<__nv_fp8_storage_t>(code),
                                                      target.interpretation);
      const float value = decode(code, target.format);
      if (format(target.format).is_nan(code)) {
        EXPECT_EQ(half.x & 0x7C00, 0x7C00);
        EXPECT_NE(half.x & 0x3FF, 0);
      } else {
        EXPECT_EQ(decode(half.x, FormatId::f16), value) << code;
      }
    }
  }
}

TEST(CudaOracle, ScalesRoundUp) {
  testing::Random random(40);
  for (int n = 0; n < 200000; ++n) {
    const float x = std::bit_cast<float>(random() & 0x7FFFFFFF);
    if (x != x) continue;
    EXPECT_EQ(encode(x, FormatId::e8m0, {.rounding = Rounding::up}),
              __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, cudaRoundPosInf)) << std::hexfloat << x;
    EXPECT_EQ(encode(x, FormatId::e8m0, {.rounding = Rounding::toward_zero}),
              __nv_cvt_float_to_e8m0(x, __NV_SATFINITE, cudaRoundZero)) << std::hexfloat << x;
  }
}

}  // namespace
}  // namespace karat::numerics
