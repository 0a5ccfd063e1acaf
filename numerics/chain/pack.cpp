// Operands of the fast chains as their kernels read them (see packed.hpp): plain loops that the
// compiler vectorises for each target.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "karat/numerics/chain/pack.cpp"
#include "karat/numerics/base/simd.hpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// clang-format on

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "karat/numerics/chain/kernels.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::numerics::HWY_NAMESPACE {

/// Exponent words of one row; whether a value is NaN or Inf.
bool RowExponents(const Instruction& row, const float* x, std::size_t count,
                  std::uint32_t* exponent) {
  const bool narrow = lanes_of(row) == Lanes::split_f32;
  const std::uint32_t smallest =
      static_cast<std::uint32_t>(format(row.multiplied).min_exponent() + 127);
  const std::uint32_t mask = narrow ? 0xFF : 0xFFFF;
  const std::uint32_t none = static_cast<std::uint32_t>(narrow ? kNoExponent8 : kNoExponent16) & mask;
  std::uint32_t largest = 0;
  for (std::size_t k = 0; k < count; ++k) {
    const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(x[k]) & 0x7FFFFFFFu;
    largest = std::max(largest, magnitude);
    const std::uint32_t e = (std::max(magnitude >> 23, smallest) - 127u) & mask;
    const std::uint32_t value = magnitude == 0 ? none : e;
    const std::uint32_t half = narrow ? value | value << 8 : value;
    exponent[k] = half | half << 16;
  }
  return largest >= 0x7F800000u;
}

/// Order and magnitudes of one step of a pair of rows, of which the kernel takes the first `length`
/// products; returns how many of these have equal signs.
template <typename T>
HWY_INLINE std::uint32_t Schedule(const float* x0, const float* x1, std::size_t length,
                                  std::size_t step, std::uint32_t* schedule, T* m0, T* m1) {
  std::uint32_t opposite = 0;
  for (std::size_t k = 0; k < length; ++k) {
    opposite +=
        (std::bit_cast<std::uint32_t>(x0[k]) ^ std::bit_cast<std::uint32_t>(x1[k])) >> 31;
  }
  const std::uint32_t same = static_cast<std::uint32_t>(length) - opposite;
  const auto entry = [&](std::size_t k) {
    const std::uint32_t negative = std::bit_cast<std::uint32_t>(x0[k]) >> 31;
    return static_cast<std::uint32_t>(k * 2 * kPanel) + negative * std::uint32_t{kPanel};
  };
  for (std::size_t k = length; k < step; ++k) {
    schedule[k] = entry(k);
    m0[k] = m1[k] = T{0};
  }
  if (opposite == 0) {  // always so for P, whose values are never negative
    for (std::size_t k = 0; k < length; ++k) {
      schedule[k] = entry(k);
      m0[k] = static_cast<T>(std::fabs(x0[k]));
      m1[k] = static_cast<T>(std::fabs(x1[k]));
    }
    return same;
  }
  std::uint32_t before = 0;  // opposite ones so far; a counter in memory would bound the loop
  for (std::uint32_t k = 0; k < length; ++k) {
    const std::uint32_t differ =
        (std::bit_cast<std::uint32_t>(x0[k]) ^ std::bit_cast<std::uint32_t>(x1[k])) >> 31;
    // Without a branch, which no predictor would get right.
    const std::uint32_t q = k - before + differ * (same + 2 * before - k);
    before += differ;
    schedule[q] = entry(k);
    m0[q] = static_cast<T>(std::fabs(x0[k]));
    m1[q] = static_cast<T>(std::fabs(x1[k]));
  }
  return same;
}

void PackRows(MatrixView<const float> values, std::size_t first_row, RowOperand::Packed& p) {
  const Instruction& row = *p.instruction;
  std::vector<float> lines(2 * p.padded, 0.0f);
  const auto line = [&](std::size_t i, std::size_t slot) -> const float* {
    const float* x = values.data + i * values.row_stride;
    const bool in_place = values.column_stride == 1 && p.k == p.padded &&
                          row.arithmetic != Arithmetic::emulated;
    if (i < values.rows && in_place) return x;
    float* copy = lines.data() + slot * p.padded;
    if (i >= values.rows) {
      std::fill(copy, copy + p.padded, 0.0f);
      return copy;
    }
    for (std::size_t k = 0; k < p.k; ++k) copy[chain_position(row, k)] = x[k * values.column_stride];
    return copy;
  };
  if (lanes_of(row) == Lanes::plain) {
    for (std::size_t i = 0; i < values.rows; ++i) {
      const float* x = line(i, 0);
      std::copy(x, x + p.padded, p.f32.data() + (first_row + i) * p.padded);
      p.special.data()[first_row + i] = 0;
      if (row.arithmetic == Arithmetic::exact)
        std::copy(x, x + p.padded, p.f64.data() + (first_row + i) * p.padded);
    }
    return;
  }
  const auto step = static_cast<std::size_t>(row.step);
  for (std::size_t i = 0; i < values.rows; i += 2) {
    const float* x0 = line(i, 0);
    const float* x1 = line(i + 1, 1);
    const std::size_t at = (first_row + i) * p.padded;
    p.ordered.data()[(first_row + i) / 2] = 0;
    p.special.data()[first_row + i] = RowExponents(row, x0, p.padded, p.exponent.data() + at);
    const bool special = RowExponents(row, x1, p.padded, p.exponent.data() + at + p.padded);
    if (i + 1 < values.rows) p.special.data()[first_row + i + 1] = special;
    for (std::size_t k = 0; k < p.padded; k += step) {
      std::uint32_t* schedule = p.schedule.data() + at / 2 + k;
      std::uint32_t& same = p.same.data()[(at / 2 + k) / step];
      p.used.data()[(at / 2 + k) / step] = static_cast<std::uint32_t>(step);
      const std::size_t first = at + k, second = first + p.padded;
      const std::size_t length = step_length(row, p.k, k);
      same = lanes_of(row) == Lanes::split_f32
                 ? Schedule(x0 + k, x1 + k, length, step, schedule, p.f32.data() + first,
                            p.f32.data() + second)
                 : Schedule(x0 + k, x1 + k, length, step, schedule, p.f64.data() + first,
                            p.f64.data() + second);
    }
  }
}

/// One k of one panel.
template <typename T, typename E>
HWY_INLINE void SplitLine(std::uint32_t smallest, E none, const float* x, T* plus, T* minus,
                          E* exponent, std::uint8_t* special) {
  for (std::size_t j = 0; j < kPanel; ++j) {
    const auto bits = std::bit_cast<std::uint32_t>(x[j]);
    const std::uint32_t magnitude = bits & 0x7FFFFFFFu;
    const bool not_finite = magnitude >= 0x7F800000u, nan = magnitude > 0x7F800000u;
    const auto m = static_cast<T>(std::bit_cast<float>(magnitude));
    plus[j] = (bits >> 31) == 0 || nan ? m : T{0};
    minus[j] = (bits >> 31) == 1 || nan ? m : T{0};
    const auto e = static_cast<E>(static_cast<std::int32_t>(std::max(magnitude >> 23, smallest)) -
                                  127);
    exponent[j] = magnitude == 0 ? none : e;
    special[j] = static_cast<std::uint8_t>(special[j] | not_finite);
  }
}

void PackColumns(const Instruction& row, MatrixView<const float> values,
                 ColumnOperand::Packed& p) {
  const std::uint32_t smallest =
      static_cast<std::uint32_t>(format(multiplied_columns(row)).min_exponent() + 127);
  const Lanes lanes = lanes_of(row);
  std::fill(p.special.data(), p.special.data() + p.panels * kPanel, std::uint8_t{0});
  std::vector<float> tile(p.padded * kPanel);
  for (std::size_t panel = 0; panel < p.panels; ++panel) {
    const std::size_t first = panel * kPanel, width = std::min(kPanel, p.columns - first);
    if (width < kPanel || p.k < p.padded) std::fill(tile.begin(), tile.end(), 0.0f);
    const float* source = values.data + first * values.row_stride;
    if (values.row_stride == 1) {
      for (std::size_t k = 0; k < p.k; ++k) {
        std::copy_n(source + k * values.column_stride, width,
                    tile.data() + chain_position(row, k) * kPanel);
      }
    } else {
      for (std::size_t j = 0; j < width; ++j) {
        for (std::size_t k = 0; k < p.k; ++k) {
          tile[chain_position(row, k) * kPanel + j] =
              source[j * values.row_stride + k * values.column_stride];
        }
      }
    }
    if (lanes == Lanes::plain) {
      std::copy(tile.begin(), tile.end(), p.f32.data() + panel * p.padded * kPanel);
      continue;
    }
    std::uint8_t* special = p.special.data() + first;
    for (std::size_t k = 0; k < p.padded; ++k) {
      const std::size_t at = (panel * p.padded + k) * kPanel;
      if (lanes == Lanes::split_f32) {
        float* plus = p.f32.data() + 2 * at;
        SplitLine(smallest, static_cast<std::int8_t>(kNoExponent8), tile.data() + k * kPanel, plus,
                  plus + kPanel, p.exponent8.data() + at, special);
      } else {
        double* plus = p.f64.data() + 2 * at;
        SplitLine(smallest, static_cast<std::int16_t>(kNoExponent16), tile.data() + k * kPanel,
                  plus, plus + kPanel, p.exponent16.data() + at, special);
      }
    }
  }
}

}  // namespace karat::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::numerics {
namespace {
HWY_EXPORT(PackRows);
HWY_EXPORT(PackColumns);
}  // namespace

void pack_rows(MatrixView<const float> v, std::size_t first, RowOperand::Packed& p) {
  HWY_DYNAMIC_DISPATCH(PackRows)(v, first, p);
}
void pack_columns(const Instruction& row, MatrixView<const float> v, ColumnOperand::Packed& p) {
  HWY_DYNAMIC_DISPATCH(PackColumns)(row, v, p);
}

}  // namespace karat::numerics
#endif  // HWY_ONCE
