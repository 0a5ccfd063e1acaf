// Private: how operands lie in memory for the fast chains. Columns are cut into panels of 64; inside
// a panel everything one k needs is contiguous.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "karat/numerics/tensor_core.hpp"

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

/// Exponent of a zero: below every sum of two exponents that matters, without overflow.
inline constexpr int kNoExponent8 = -128;
inline constexpr int kNoExponent16 = -16384;

/// Position in the chain of the k-th product: the emulated instructions sum two interleaved halves.
constexpr std::size_t chain_position(const Instruction& row, std::size_t k) {
  if (row.arithmetic != Arithmetic::emulated) return k;
  const std::size_t group = k / 32, j = k % 32;
  return group * 32 + (j % 4 / 2) * 16 + j / 4 * 2 + j % 2;
}

/// One row of A per `padded` entries. `offset` is 0 for positive values and kPanel for negative
/// ones: added to a column pointer it picks the half with the matching sign.
struct RowOperand::Packed {
  const Instruction* instruction = nullptr;
  std::size_t rows = 0, k = 0, padded = 0;
  AlignedArray<float> f32;               ///< plain: values; split_f32: magnitudes
  AlignedArray<double> f64;              ///< split_f64: magnitudes
  AlignedArray<std::uint32_t> offset;    ///< split
  AlignedArray<std::uint32_t> exponent;  ///< split: copies of an int8 or int16 that fill the word
  AlignedArray<std::uint8_t> special;    ///< per row: holds NaN or Inf

  /// @param position  chain_position() of k
  float value(std::size_t row, std::size_t position) const {
    const std::size_t at = row * padded + position;
    const Lanes lanes = lanes_of(*instruction);
    const float magnitude =
        lanes == Lanes::split_f64 ? static_cast<float>(f64.data()[at]) : f32.data()[at];
    return lanes != Lanes::plain && offset.data()[at] ? -magnitude : magnitude;
  }
};

/// Panels of B. plain: f32[panel][k][64]. split: [panel][k][2][64] holding max(b, 0) and max(-b, 0).
struct ColumnOperand::Packed {
  const Instruction* instruction = nullptr;
  std::size_t columns = 0, k = 0, padded = 0, panels = 0;
  AlignedArray<float> f32;
  AlignedArray<double> f64;
  AlignedArray<std::int8_t> exponent8;    ///< split_f32: [panel][k][64]
  AlignedArray<std::int16_t> exponent16;  ///< split_f64: [panel][k][64]
  AlignedArray<std::uint8_t> special;     ///< per column: holds NaN or Inf

  float value(std::size_t column, std::size_t position) const {
    const std::size_t k_index = column / kPanel * padded + position, lane = column % kPanel;
    const Lanes lanes = lanes_of(*instruction);
    if (lanes == Lanes::plain) return f32.data()[k_index * kPanel + lane];
    const std::size_t at = k_index * 2 * kPanel + lane;
    if (lanes == Lanes::split_f32) return f32.data()[at] - f32.data()[at + kPanel];
    return static_cast<float>(f64.data()[at] - f64.data()[at + kPanel]);
  }
};

}  // namespace karat::numerics
