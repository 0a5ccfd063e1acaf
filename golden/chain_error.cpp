// Errors per step times steps; every constant is a property of the instruction.
#include "chain_error.hpp"

#include <algorithm>
#include <cmath>

namespace karat::golden {
namespace {

/// Fraction bits kept of each addend below the largest one, and of a step's result.
struct StepBits {
  int addend;
  int result;
};
StepBits step_bits(const numerics::Instruction& instruction) {
  const numerics::Format& input = numerics::format(numerics::input_format(instruction));
  return input.bits <= 8 ? StepBits{13, 13} : StepBits{24, 23};
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
  // the exponent of the smallest normal; every addend loses less than one grid unit.
  const StepBits bits = step_bits(instruction);
  const double tiny = smallest_normal(instruction);
  const double largest =
      std::max(std::max(size.a_max, tiny) * std::max(size.b_max, tiny), 1.01 * total);
  const int group = numerics::k_group(instruction);
  const double steps = std::ceil(static_cast<double>(size.k) / group);
  return steps * ((group + 1) * std::ldexp(largest, -bits.addend) +
                  std::ldexp(largest, -bits.result));
}

}  // namespace karat::golden
