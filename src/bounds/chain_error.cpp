// Errors per step times steps; every constant is a property of the instruction.
#include "chain_error.hpp"

#include <algorithm>
#include <cmath>

namespace karat::bounds {
namespace {

/// Fraction bits kept of each addend below the largest one, and of a step's result; and what a
/// result may lose besides, below the accumulator's smallest normal.
struct StepBits {
  int addend;
  int result;
  double lost = 0x1p-126;
};
StepBits step_bits(const numerics::Instruction& instruction) {
  const numerics::Format& input = numerics::format(numerics::input_format(instruction));
  const int addend = input.bits <= 8 ? 13 : 24;
  if (numerics::accumulator_format(instruction) == numerics::FormatId::f16)
    return {addend, 10, 0x1p-24};
  return {addend, input.bits <= 8 ? 13 : 23};
}

}  // namespace

// A step's grid is 2^(E - F), E the exponent of its largest addend, subnormal inputs counted at the
// exponent of the smallest normal; every addend loses less than one grid unit. An instruction is
// one such step, or two and an addition of its own: three results are rounded at most.
ChainBound::ChainBound(const numerics::Instruction& instruction) {
  const numerics::Format& input = numerics::format(numerics::input_format(instruction));
  const StepBits bits = step_bits(instruction);
  group_ = numerics::k_group(instruction);
  law_ = input.kind == numerics::Kind::integer ? Law::exact
         : group_ == 1                         ? Law::rounding_per_term
                                               : Law::step_per_group;
  tiny_ = std::ldexp(1.0, input.min_exponent());
  per_largest_ =
      2 * (group_ + 1) * std::ldexp(1.0, -bits.addend) + 3 * std::ldexp(1.0, -bits.result);
  per_instruction_ = 3 * bits.lost;
}

double ChainBound::of_size(const ChainSize& size) const {
  if (law_ == Law::exact) return 0;
  const double total = size.a_sum * size.b_max + size.start;
  const auto k = static_cast<double>(size.k);
  if (law_ == Law::rounding_per_term) return 1.01 * k * 0x1p-24 * total + k * 0x1p-126;
  const double largest =
      std::max(std::max(size.a_max, tiny_) * std::max(size.b_max, tiny_), 1.01 * total);
  return std::ceil(k / group_) * (per_largest_ * largest + per_instruction_);
}

}  // namespace karat::bounds
