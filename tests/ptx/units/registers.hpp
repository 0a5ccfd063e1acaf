// Registers of a warp, and words worth trying.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include "karat/numerics/base/error.hpp"
#include "units/lane_op.hpp"

namespace karat::ptx::units {

template <typename Word>
using RegisterOf = std::array<Word, kLanes>;
using Register = RegisterOf<std::uint32_t>;
using WideRegister = RegisterOf<std::uint64_t>;

inline float f32(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }
inline double f64(std::uint64_t bits) { return std::bit_cast<double>(bits); }
inline std::uint64_t bits_of(double x) { return std::bit_cast<std::uint64_t>(x); }

/// Random words, among them the corners of integers and of f32, and numbers near each other.
class Words {
 public:
  explicit Words(unsigned seed) : random_(seed) {}

  std::uint32_t next32() {
    static constexpr std::uint32_t kCorners[] = {
        0,          1,          2,          0x7F,       0x80,       0xFF,       0x7FFF,
        0x8000,     0xFFFF,     0x7FFFFFFF, 0x80000000, 0x80000001, 0xFFFFFFFF, 0x3F800000,
        0xBF800000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345, 0x7F800001, 0x00000001,
        0x007FFFFF, 0x00800000, 0x807FFFFF, 0x80800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x34000000,
        0x4B000000, 0x4F000000, 0xCF000000, 0x5F000000, 0x3F000000, 0xBF000000, 0x40200000};
    switch (random_() % 6) {
      case 0:
        return kCorners[random_() % std::size(kCorners)];
      case 1:
        return static_cast<std::uint32_t>(random_() % 64);
      case 2:
        return 0x3F000000 + static_cast<std::uint32_t>(random_() & 0x01FFFFFF);
      case 3:
        return (static_cast<std::uint32_t>(random_()) & 0x80FFFFFF);  // small numbers
      case 4:
        return static_cast<std::uint32_t>(random_()) & 0xFFFF0000;
      default:
        return static_cast<std::uint32_t>(random_());
    }
  }
  std::uint64_t next64() {
    static constexpr std::uint64_t kCorners[] = {0,
                                                 1,
                                                 0x7FFFFFFFFFFFFFFF,
                                                 0x8000000000000000,
                                                 0xFFFFFFFFFFFFFFFF,
                                                 0x7FF0000000000000,
                                                 0xFFF0000000000000,
                                                 0x7FF8000000000000,
                                                 0x3FF0000000000000,
                                                 0xBFF0000000000000,
                                                 0xFFFFFFFF};
    if (random_() % 4 == 0) return kCorners[random_() % std::size(kCorners)];
    if (random_() % 4 == 0) return std::bit_cast<std::uint64_t>(double{f32(next32())});
    return std::uint64_t{next32()} << 32 | next32();
  }
  template <typename Word>
  RegisterOf<Word> next() {
    RegisterOf<Word> words;
    for (Word& word : words) {
      if constexpr (sizeof(Word) == 8) {
        word = next64();
      } else {
        word = next32();
      }
    }
    return words;
  }
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n); }

 private:
  std::mt19937_64 random_;
};

/// lane_op(opcode) on registers; the result may replace an operand.
template <typename R, typename A>
RegisterOf<R> run(std::string_view opcode, const RegisterOf<A>& a) {
  const LaneOp op = lane_op(opcode);
  RegisterOf<R> d{};
  if (op.operands != 1 || op.result_bits != 8 * sizeof(R) || op.operand_bits[0] != 8 * sizeof(A)) {
    throw std::runtime_error(std::string(opcode) + " takes other registers");
  }
  op.run(d.data(), a.data(), nullptr, nullptr);
  return d;
}
template <typename R, typename A, typename B>
RegisterOf<R> run(std::string_view opcode, const RegisterOf<A>& a, const RegisterOf<B>& b) {
  const LaneOp op = lane_op(opcode);
  RegisterOf<R> d{};
  if (op.operands != 2 || op.result_bits != 8 * sizeof(R) || op.operand_bits[0] != 8 * sizeof(A) ||
      op.operand_bits[1] != 8 * sizeof(B)) {
    throw std::runtime_error(std::string(opcode) + " takes other registers");
  }
  op.run(d.data(), a.data(), b.data(), nullptr);
  return d;
}
template <typename R, typename A, typename B, typename C>
RegisterOf<R> run(std::string_view opcode, const RegisterOf<A>& a, const RegisterOf<B>& b,
                  const RegisterOf<C>& c) {
  const LaneOp op = lane_op(opcode);
  RegisterOf<R> d{};
  if (op.operands != 3 || op.result_bits != 8 * sizeof(R) || op.operand_bits[0] != 8 * sizeof(A) ||
      op.operand_bits[1] != 8 * sizeof(B) || op.operand_bits[2] != 8 * sizeof(C)) {
    throw std::runtime_error(std::string(opcode) + " takes other registers");
  }
  op.run(d.data(), a.data(), b.data(), c.data());
  return d;
}

}  // namespace karat::ptx::units
