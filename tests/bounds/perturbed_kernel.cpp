#include "perturbed_kernel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::bounds {
namespace {

float flush(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

float cast(float x, numerics::FormatId format, numerics::Overflow overflow) {
  if (format == numerics::FormatId::f32) return x;
  return numerics::decode(numerics::encode(x, format, {.overflow = overflow}), format);
}

}  // namespace

float chain_row(const numerics::Instruction& instruction, const std::vector<float>& a,
                const std::vector<float>& b, numerics::Start start, float d) {
  numerics::RowOperand row;
  numerics::ColumnOperand column;
  row.pack(instruction, numerics::row_major<const float>(a.data(), 1, a.size()));
  column.pack(instruction, numerics::row_major<const float>(b.data(), 1, b.size()));
  numerics::chain(instruction, row, column, start, numerics::row_major(&d, 1, 1));
  return d;
}

float legal_exp2_at(float x, int direction) {
  const float rounded = numerics::exp2_rounded(x);
  if (direction == 0 || x == 0 || std::isinf(x) || rounded == 0) return rounded;
  const double exact = numerics::exp2_f64(x);
  const double ulp = std::ldexp(1.0, std::max(std::ilogb(exact), -126) - 23);
  float best = rounded;
  for (float next = rounded;;) {
    next = std::nextafter(next, direction > 0 ? 1e38f : 0.0f);
    if (std::abs(next - exact) > 2 * ulp) return flush(best);
    best = next;
  }
}

PerturbedRow run_row(const recipe::Recipe& recipe, const layout::Layout& layout,
                     const attention::QuantisedHead& head, const attention::BlockTap& tap,
                     std::size_t row, const Exp2& exp2) {
  const numerics::Instruction& pv = numerics::instruction(recipe.pv.instruction);
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t width = tap.key_position.size();
  PerturbedRow result;
  std::vector<float> o(layout.channels, 0.0f);
  float partial[4] = {};
  float m_before = -std::numeric_limits<float>::infinity();
  for (std::size_t visit = 0; visit < tap.key_block.size(); ++visit) {
    const float m = tap.m[visit * rows + row];
    const float alpha = exp2(flush(m_before - m));
    for (float& l : partial) l = flush(l * alpha);
    for (float& value : o) value = flush(value * alpha);
    m_before = m;
    const auto begin = static_cast<std::size_t>(tap.column_begin[visit]);
    const auto end = static_cast<std::size_t>(tap.column_begin[visit + 1]);
    std::vector<float> p;
    for (std::size_t n = begin; n < end; ++n) {
      const float value = exp2(flush(tap.s[row * width + n] - m));
      float& l = partial[(n - begin) / 2 % 4];
      l = flush(l + value);
      p.push_back(cast(flush(value * recipe.p.multiplier), recipe.p.format, recipe.p.overflow));
    }
    result.p.insert(result.p.end(), p.begin(), p.end());
    const std::size_t step =
        recipe.pv.promote_every > 0 ? static_cast<std::size_t>(recipe.pv.promote_every) : p.size();
    for (std::size_t first = 0; first < p.size(); first += step) {
      const std::size_t last = std::min(p.size(), first + step);
      const std::vector<float> part(p.begin() + first, p.begin() + last);
      for (std::size_t j = 0; j < o.size(); ++j) {
        std::vector<float> v;
        for (std::size_t n = first; n < last; ++n)
          v.push_back(head.v.values[tap.key_position[begin + n] * layout.channels + j]);
        if (recipe.pv.promote_every == 0)
          o[j] = chain_row(pv, part, v, numerics::Start::from_d, o[j]);
        else
          o[j] = flush(o[j] + chain_row(pv, part, v, numerics::Start::absent, 0.0f));
      }
    }
  }
  result.l = (partial[0] + partial[2]) + (partial[1] + partial[3]);
  const float r = 1.0f / result.l;
  for (std::size_t j = 0; j < o.size(); ++j)
    result.out.push_back(cast(flush(flush(o[j] * r) * (head.v.scale(0, j) / recipe.p.multiplier)),
                              recipe.output, numerics::Overflow::infinity));
  return result;
}

}  // namespace karat::bounds
