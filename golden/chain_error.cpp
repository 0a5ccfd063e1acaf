// Errors per step times steps; every constant is a property of the instruction.
#include "chain_error.hpp"

#include <algorithm>
#include <cmath>

namespace karat::golden {
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

double smallest_normal(const numerics::Instruction& instruction) {
  const numerics::Format& input = numerics::format(numerics::input_format(instruction));
  return std::ldexp(1.0, input.min_exponent());
}

}  // namespace

double chain_error(const numerics::Instruction& instruction, const ChainSize& size) {
  const numerics::Format& input = numerics::format(numerics::input_format(instruction));
  if (input.kind == numerics::Kind::integer) return 0;
  const double total = size.a_sum * size.b_max + size.start;
  if (numerics::k_group(instruction) == 1) {  // one rounding of 2^-24 per term
    const auto k = static_cast<double>(size.k);
    return 1.01 * k * 0x1p-24 * total + k * 0x1p-126;
  }
  // A step's grid is 2^(E - F), E the exponent of its largest addend, subnormal inputs counted at
  // the exponent of the smallest normal; every addend loses less than one grid unit. An instruction
  // is one such step, or two and an addition of its own: three results are rounded at most.
  const StepBits bits = step_bits(instruction);
  const double tiny = smallest_normal(instruction);
  const double largest =
      std::max(std::max(size.a_max, tiny) * std::max(size.b_max, tiny), 1.01 * total);
  const int group = numerics::k_group(instruction);
  const double instructions = std::ceil(static_cast<double>(size.k) / group);
  return instructions * (2 * (group + 1) * std::ldexp(largest, -bits.addend) +
                         3 * (std::ldexp(largest, -bits.result) + bits.lost));
}

}  // namespace karat::golden
