// Explanations by experiment: each variant is the instruction with one field changed.
#include <algorithm>
#include <functional>

#include "comparison.hpp"
#include "karat/numerics/tensor_core/step.hpp"

namespace karat::evidence {
namespace {

using numerics::Arithmetic;
using numerics::Instruction;
using numerics::Rounding;

struct Variant {
  std::string name;
  Instruction row;
};

std::vector<Variant> variants(const Instruction& row) {
  std::vector<Variant> list;
  const auto add = [&](std::string name, const std::function<void(Instruction&)>& edit) {
    Instruction changed = row;
    edit(changed);
    list.push_back({std::move(name), changed});
  };
  if (row.arithmetic != Arithmetic::aligned_sum && row.arithmetic != Arithmetic::emulated)
    return list;
  for (const int fraction :
       {row.fraction - 2, row.fraction - 1, row.fraction + 1, row.fraction + 2})
    add("F = " + std::to_string(fraction) + " instead of " + std::to_string(row.fraction),
        [&](Instruction& r) { r.fraction = fraction; });
  const int whole = numerics::format(row.accumulator).fraction_bits;
  for (const int bits : {10, 13, whole})
    if (bits != row.out_fraction && bits <= whole)
      add(std::to_string(bits) + " result bits instead of " + std::to_string(row.out_fraction),
          [&](Instruction& r) { r.out_fraction = bits; });
  for (const auto& [name, rounding] :
       {std::pair{"toward zero", Rounding::toward_zero},
        std::pair{"to nearest even", Rounding::nearest_even}, std::pair{"down", Rounding::down}})
    if (rounding != row.out_rounding)
      add(std::string("the result rounded ") + name,
          [r = rounding](Instruction& i) { i.out_rounding = r; });
  for (const int floor : {-126, -132, -133, -20, -21})
    if (floor != row.floor)
      add("FLOOR = " + std::to_string(floor), [&](Instruction& r) { r.floor = floor; });
  if (row.floor != numerics::kNoFloor)
    add("no FLOOR", [](Instruction& r) { r.floor = numerics::kNoFloor; });
  for (const int step : {row.k / 4, row.k / 2, row.k})
    if (step != row.step && step > 0 && row.arithmetic == Arithmetic::aligned_sum)
      add("sums of " + std::to_string(step) + " products chained inside the instruction",
          [&](Instruction& r) { r.step = step; });
  return list;
}

/// The operands as they are written: high digits first, trailing zeros left out.
std::string listed(const std::vector<std::uint32_t>& codes, int bits) {
  std::size_t used = codes.size();
  while (used > 1 && codes[used - 1] == 0) --used;
  std::string text;
  for (std::size_t i = 0; i < used; ++i) text += hex(codes[i], bits).substr(2);
  return text;
}

std::string arithmetic_of(const Instruction& instruction, const DifferingRow& row) {
  std::vector<numerics::Factor> a, b;
  for (const std::uint32_t code : row.a)
    a.push_back(numerics::row_factor(instruction, code));
  for (const std::uint32_t code : row.b)
    b.push_back(numerics::column_factor(instruction, code));
  std::vector<numerics::StepTrace> traces;
  numerics::instruction_step(instruction, a, b, row.c, &traces);
  if (traces.empty()) return "";
  const numerics::StepTrace& last = traces.back();
  if (last.special) return " (decided by NaN or Inf)";
  const auto cut = std::count_if(last.terms.begin(), last.terms.end(),
                                 [](const numerics::AlignedTerm& t) { return t.truncated; });
  return " (largest exponent " + std::to_string(last.largest_exponent) + ", grid 2^" +
         std::to_string(last.grid) + ", sum " + std::to_string(last.sum) + ", " +
         std::to_string(cut) + " terms truncated)";
}

}  // namespace

std::string hex(std::uint32_t word, int bits) {
  std::string text = "0x";
  for (int shift = (bits + 3) / 4 * 4 - 4; shift >= 0; shift -= 4)
    text += "0123456789abcdef"[word >> shift & 15];
  return text;
}

std::string explain(const Instruction& instruction, std::span<const DifferingRow> rows) {
  if (rows.empty()) return "";
  const DifferingRow& row = rows.front();
  const int in = numerics::format(instruction.input).bits;
  const int out = numerics::format(instruction.accumulator).bits;
  std::string text =
      row.place + ": captured " + hex(row.captured, out) + ", emulated " + hex(row.emulated, out);
  if (row.a.empty()) return text;
  text += arithmetic_of(instruction, row) + "; a " + listed(row.a, in) + " b " + listed(row.b, in) +
          " c " + hex(row.c, out).substr(2);
  // The variant that accounts for most rows, the first one included.
  std::string best;
  std::size_t most = 0;
  for (const Variant& variant : variants(instruction)) {
    const auto reproduces = [&](const DifferingRow& r) {
      return numerics::step_bits(variant.row, r.a, r.b, r.c) == r.captured;
    };
    if (!reproduces(row)) continue;
    const auto explained =
        static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), reproduces));
    if (explained > most) {
      most = explained;
      best = variant.name;
    }
  }
  if (best.empty()) return text + "; no change of one parameter gives the captured word";
  return text + "; " + best + " gives " + std::to_string(most) + " of the " +
         std::to_string(rows.size()) + " differing rows";
}

}  // namespace karat::evidence
