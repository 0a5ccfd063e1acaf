// Private: how operands lie in memory for the fast chains. Columns are cut into panels of 64;
// inside a panel everything one k needs is contiguous.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::numerics {

/// An array on cache-line boundaries; resize() discards the content and keeps the memory. It is
/// never null, so pointers into arrays an instruction does not use may be formed all the same.
template <typename T>
class AlignedArray {
 public:
  void resize(std::size_t size) {
    if (size > capacity_ || !data_) {
      capacity_ = size > 0 ? size : 1;
      data_.reset(static_cast<T*>(::operator new(capacity_ * sizeof(T), kAlignment)));
    }
    size_ = size;
  }
  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(T* p) const { ::operator delete(p, kAlignment); }
  };
  std::unique_ptr<T, Free> data_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

inline constexpr std::size_t kPanel = 64;

/// Rows of an exact product's operand are filled up with zeros to a multiple of this.
inline constexpr std::size_t kExactRowGroup = 24;

/// Which kernel runs an instruction, hence which of the arrays below are filled.
enum class Lanes {
  plain,      ///< f32 values, one fused or exact operation per product
  split_f32,  ///< aligned sums whose terms fit f32 lanes (F = 13)
  split_f64,  ///< aligned sums in f64 lanes (F = 24, 25)
};

constexpr Lanes lanes_of(const Instruction& row) {
  if (row.arithmetic != Arithmetic::aligned_sum && row.arithmetic != Arithmetic::emulated) {
    return Lanes::plain;
  }
  return row.fraction <= 13 ? Lanes::split_f32 : Lanes::split_f64;
}

/// Exponent of a zero: with any partner it stays below every sum of two real exponents, and two of
/// them do not overflow. The 8-bit formats have exponents -14..15, so real sums are -28 and up.
inline constexpr int kNoExponent8 = -64;
inline constexpr int kNoExponent16 = -16384;

/// k filled up with zeros to whole instructions.
constexpr std::size_t padded_k(const Instruction& row, std::size_t k) {
  const auto group = static_cast<std::size_t>(row.k);
  return std::max((k + group - 1) / group, std::size_t{1}) * group;
}

/// Products the kernels add in the step that starts at product `at` of k: all, or up to the last
/// that is not padding, in fours. The emulated instructions scatter theirs over two steps.
constexpr std::size_t step_length(const Instruction& row, std::size_t k, std::size_t at) {
  const auto step = static_cast<std::size_t>(row.step);
  if (row.arithmetic == Arithmetic::emulated) return step;
  const std::size_t left = std::max(k, at + 1) - at;
  return std::min(step, (left + 3) / 4 * 4);
}

/// Position in the chain of the k-th product: the emulated instructions sum two interleaved halves.
constexpr std::size_t chain_position(const Instruction& row, std::size_t k) {
  if (row.arithmetic != Arithmetic::emulated) return k;
  const std::size_t group = k / 32, j = k % 32;
  return group * 32 + (j % 4 / 2) * 16 + j / 4 * 2 + j % 2;
}

/// Rows of A, `padded` entries each; the split kernels take them in pairs (an odd last row gets a
/// partner of zeros). Inside a step the products of a pair are reordered, which an exact sum does
/// not notice: first the k where both rows have the same sign, then the others, so that the kernel
/// loads each column vector once for both rows without a branch per k. Where both rows are zero the
/// product may be left out: `used` says how many of a step remain, a multiple of 4.
struct RowOperand::Packed {
  const Instruction* instruction = nullptr;
  std::size_t rows = 0, k = 0, padded = 0;
  AlignedArray<float> f32;               ///< plain: values; split_f32: magnitudes as scheduled
  AlignedArray<double> f64;  ///< split_f64: magnitudes as scheduled; exact: values, rows padded too
  /// split: an int8 or int16, repeated; in order of k, but as scheduled where products are left out
  AlignedArray<std::uint32_t> exponent;
  /// split, one line per pair: what to add to a column pointer at the start of the step,
  /// k * 2 * kPanel, plus kPanel when the pair's first row is negative.
  AlignedArray<std::uint32_t> schedule;
  AlignedArray<std::uint32_t> same;      ///< split, per pair and step: how many k have equal signs
  AlignedArray<std::uint32_t> used;      ///< split, likewise: how many k the kernel takes
  AlignedArray<std::uint8_t> special;    ///< per row: holds NaN or Inf
  AlignedArray<std::uint8_t> ordered;  ///< split, per pair: all k are taken, none of opposite signs
  AlignedArray<float> rounded;         ///< split: the values that round_rows() made, in order of k

  /// Values of one row in chain order (see chain_position); out has `padded` places.
  void unpack(std::size_t row, float* out) const {
    const Lanes lanes = lanes_of(*instruction);
    const std::size_t at = row * padded;
    if (lanes == Lanes::plain) {
      std::memcpy(out, f32.data() + at, padded * sizeof(float));
      return;
    }
    const auto step = static_cast<std::size_t>(instruction->step);
    const std::size_t pair = row / 2, steps = padded / step;
    std::fill_n(out, padded, 0.0f);
    for (std::size_t q = 0; q < padded; ++q) {
      const std::size_t taken = used.data()[pair * steps + q / step];
      if (q % step >= taken) continue;
      const std::uint32_t entry = schedule.data()[pair * padded + q];
      const bool opposite = q % step >= same.data()[pair * steps + q / step];
      const bool negative = ((entry / kPanel) % 2 != 0) != (row % 2 == 1 && opposite);
      const float magnitude =
          lanes == Lanes::split_f64 ? static_cast<float>(f64.data()[at + q]) : f32.data()[at + q];
      if (taken < step && magnitude == 0) continue;  // may be filling, whose k is another's
      out[q / step * step + entry / (2 * kPanel)] = negative ? -magnitude : magnitude;
    }
  }
};

/// Panels of B. plain: f32[panel][k][64]. split: [panel][k][2][64] holding max(b, 0) and max(-b,
/// 0).
struct ColumnOperand::Packed {
  const Instruction* instruction = nullptr;
  std::size_t columns = 0, k = 0, padded = 0, panels = 0;
  AlignedArray<float> f32;
  AlignedArray<double> f64;
  AlignedArray<std::int8_t> exponent8;    ///< split_f32: [panel][k][64]
  AlignedArray<std::int16_t> exponent16;  ///< split_f64: [panel][k][64]
  AlignedArray<std::uint8_t> special;     ///< per column: holds NaN or Inf

  /// Values of one column in chain order; out has `padded` places.
  void unpack(std::size_t column, float* out) const {
    const Lanes lanes = lanes_of(*instruction);
    const std::size_t lane = column % kPanel;
    for (std::size_t q = 0; q < padded; ++q) {
      const std::size_t line = column / kPanel * padded + q;
      const std::size_t at = line * 2 * kPanel + lane;
      if (lanes == Lanes::plain) {
        out[q] = f32.data()[line * kPanel + lane];
      } else if (lanes == Lanes::split_f32) {
        out[q] = f32.data()[at] - f32.data()[at + kPanel];
      } else {
        out[q] = static_cast<float>(f64.data()[at] - f64.data()[at + kPanel]);
      }
    }
  }
};

}  // namespace karat::numerics
