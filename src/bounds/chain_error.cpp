// Errors per step times steps; every constant is a property of the instruction's row.
#include "chain_error.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/tensor_core/mixed.hpp"

namespace karat::bounds {
namespace {

double power_of_two(int exponent) { return std::ldexp(1.0, exponent); }

/// Aligned sums of one instruction, and the terms each adds to its accumulator.
struct KindOfSum {
  int count, terms;
};
KindOfSum kind_of_sum(const numerics::Instruction& row) {
  if (row.arithmetic == numerics::Arithmetic::emulated) return {2, row.k / 2};
  return {row.k / row.step, row.step};
}

}  // namespace

ChainBound::ChainBound(const numerics::Instruction& row) : group_(static_cast<std::size_t>(row.k)) {
  const int least = numerics::format(row.accumulator).min_exponent();
  tiny_ =
      power_of_two(std::max(numerics::format(row.multiplied).min_exponent(),
                            numerics::format(numerics::multiplied_columns(row)).min_exponent()));
  switch (row.arithmetic) {
    case numerics::Arithmetic::integer:
      return;
    case numerics::Arithmetic::exact:  // in f64, and one rounding to f32
      per_chain_ = power_of_two(-24);
      per_largest_ = power_of_two(-53);
      lost_ = power_of_two(least);
      return;
    case numerics::Arithmetic::fused:
      per_largest_ = power_of_two(-24);
      lost_ = power_of_two(least);
      return;
    case numerics::Arithmetic::emulated:  // the addition at the end rounds once more
      per_largest_ = power_of_two(-1 - numerics::format(row.accumulator).fraction_bits);
      break;
    case numerics::Arithmetic::aligned_sum:
      break;
  }
  const KindOfSum sums = kind_of_sum(row);
  const double addends = sums.terms + 1;
  per_largest_ +=
      sums.count * (addends * power_of_two(-row.fraction) + power_of_two(-row.out_fraction));
  lost_ = sums.count * (addends * power_of_two(std::max(least, row.floor) - row.fraction) +
                        power_of_two(least - row.out_fraction));
}

}  // namespace karat::bounds
