// Lines of 64 accumulators on their way in and out of a block: plain loops that the compiler
// vectorises for each target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain/lines.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>

#include "karat/numerics/chain/kernels.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {

void LargestBits(const float* sums, std::size_t rows, std::uint32_t* largest) {
  for (std::size_t i = 0; i < rows; ++i) {
    std::uint32_t most = 0;
    for (std::size_t j = 0; j < kPanel; ++j)
      most = std::max(most, std::bit_cast<std::uint32_t>(sums[i * kPanel + j]) & 0x7FFFFFFFu);
    largest[i] = most;
  }
}

void StoreLines(const float* sums, const bool* kept, MatrixView<float> d) {
  for (std::size_t i = 0; i < d.rows; ++i) {
    if (!kept[i]) continue;
    const float* from = sums + i * kPanel;
    float* to = d.data + i * d.row_stride;
    // A size the compiler knows, and one it does not.
    if (d.column_stride == 1 && d.columns == kPanel) {
      for (std::size_t j = 0; j < kPanel; ++j) to[j] = from[j] + 0.0f;
    } else {
      for (std::size_t j = 0; j < d.columns; ++j) to[j * d.column_stride] = from[j] + 0.0f;
    }
  }
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(LargestBits);
HWY_EXPORT(StoreLines);
}  // namespace

void run_largest_bits(const float* sums, std::size_t rows, std::uint32_t* largest) {
  HWY_DYNAMIC_DISPATCH(LargestBits)(sums, rows, largest);
}
void run_store(const float* sums, const bool* kept, MatrixView<float> d) {
  HWY_DYNAMIC_DISPATCH(StoreLines)(sums, kept, d);
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
