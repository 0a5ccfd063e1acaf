#include "free_kernel.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"

namespace karat::bounds {
namespace {

float flush(float x) {
  return std::abs(x) < std::numeric_limits<float>::min() ? std::copysign(0.0f, x) : x;
}

float cast(float x, numerics::FormatId format, numerics::Overflow overflow) {
  if (format == numerics::FormatId::f32) return x;
  return numerics::decode(numerics::encode(x, format, {.overflow = overflow}), format);
}

/// l*alpha + t or O*alpha + t, in one rounding or two.
float rescale_and_add(float sum, float alpha, float term, bool fused) {
  return flush(fused ? std::fma(sum, alpha, term) : flush(sum * alpha) + term);
}

/// The order in which a kernel takes `terms`.
std::vector<std::size_t> walk_of(const std::vector<float>& terms, Walk walk, std::mt19937& random) {
  std::vector<std::size_t> order(terms.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  if (walk != Walk::shuffled)
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return walk == Walk::ascending_size ? terms[a] < terms[b] : terms[a] > terms[b];
    });
  return order;
}

/// Partial sums of one value that visits many blocks.
class Partials {
 public:
  Partials(std::size_t count, bool fuses) : sums_(count, 0.0f), fuses_(fuses) {}

  void absorb(float alpha, const std::vector<float>& a, const std::vector<float>& b,
              const std::vector<std::size_t>& order, std::mt19937& random) {
    std::vector<bool> rescaled(sums_.size(), false);
    for (const std::size_t n : order) {
      const std::size_t lane = random() % sums_.size();
      float& sum = sums_[lane];
      if (!rescaled[lane] && b[n] == 1.0f) {
        sum = rescale_and_add(sum, alpha, a[n], fuses_ && random() % 2);
      } else {
        if (!rescaled[lane]) sum = flush(sum * alpha);
        sum = fuses_ && random() % 2 ? flush(std::fma(a[n], b[n], sum))
                                     : flush(sum + flush(a[n] * b[n]));
      }
      rescaled[lane] = true;
    }
    for (std::size_t lane = 0; lane < sums_.size(); ++lane)
      if (!rescaled[lane]) sums_[lane] = flush(sums_[lane] * alpha);
  }
  float total(std::mt19937& random) {
    while (sums_.size() > 1) {
      std::shuffle(sums_.begin(), sums_.end(), random);
      const float last = sums_.back();
      sums_.pop_back();
      sums_.back() = flush(sums_.back() + last);
    }
    return sums_[0];
  }

 private:
  std::vector<float> sums_;
  bool fuses_;
};

/// A number within `ulps` of 1/l, as far as it goes in a random direction; with none the recipe's
/// own.
float reciprocal(const recipe::Recipe& recipe, float l, int ulps, std::mt19937& random) {
  const float rounded = 1.0f / l;
  if (ulps == 0)
    return recipe.finish.reciprocal == recipe::Reciprocal::mufu ? numerics::rcp_approx_ftz(l)
                                                                : rounded;
  const double exact = 1.0 / static_cast<double>(l);
  const double ulp = std::ldexp(1.0, std::ilogb(exact) - 23);
  const float towards = random() % 2 ? 1e38f : 0.0f;
  float best = rounded;
  for (float next = std::nextafter(best, towards); std::abs(next - exact) <= ulps * ulp;
       next = std::nextafter(next, towards))
    best = next;
  return best;
}

}  // namespace

PerturbedRow run_free_row(const recipe::Recipe& recipe, const layout::Layout& layout,
                          const attention::QuantisedHead& head, const attention::BlockTap& tap,
                          std::size_t row, const Liberties& liberties, std::mt19937& random) {
  const numerics::Instruction& pv = numerics::instruction(recipe.pv.instruction);
  const bool any_order = liberties.freedom.summation == Summation::any_order;
  const bool fuses = liberties.freedom.contraction == Contraction::allowed;
  const bool own_products = any_order && numerics::k_group(pv) == 1;
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t width = tap.key_position.size();
  const std::size_t count = any_order ? 1 + random() % liberties.partial_sums : 4;
  PerturbedRow result;
  Partials free_l(count, any_order || fuses);
  float fixed_l[4] = {};
  std::vector<Partials> free_o(layout.channels, Partials(count, true));
  std::vector<float> o(layout.channels, 0.0f);
  float m_before = -std::numeric_limits<float>::infinity();
  for (std::size_t visit = 0; visit < tap.key_block.size(); ++visit) {
    const float m = tap.m[visit * rows + row];
    const float alpha = liberties.exp2(flush(m_before - m));
    m_before = m;
    const auto begin = static_cast<std::size_t>(tap.column_begin[visit]);
    const auto end = static_cast<std::size_t>(tap.column_begin[visit + 1]);
    std::vector<float> terms, p;
    for (std::size_t n = begin; n < end; ++n) {
      terms.push_back(liberties.exp2(flush(tap.s[row * width + n] - m)));
      p.push_back(
          cast(flush(terms.back() * recipe.p.multiplier), recipe.p.format, recipe.p.overflow));
    }
    result.p.insert(result.p.end(), p.begin(), p.end());
    const std::vector<float> ones(terms.size(), 1.0f);
    const std::vector<std::size_t> order = walk_of(terms, liberties.walk, random);
    if (any_order) {
      free_l.absorb(alpha, terms, ones, order, random);
    } else {
      for (std::size_t n = 0; n < terms.size(); ++n) {
        float& l = fixed_l[n / 2 % 4];
        if (n < 8 && n % 2 == 0)
          l = rescale_and_add(l, alpha, terms[n], fuses && random() % 2);
        else
          l = flush(l + terms[n]);
      }
    }
    const auto v_of = [&](std::size_t n, std::size_t j) {
      return head.v.values[tap.key_position[begin + n] * layout.channels + j];
    };
    const std::size_t step =
        recipe.pv.promote_every > 0 ? static_cast<std::size_t>(recipe.pv.promote_every) : p.size();
    for (std::size_t j = 0; j < o.size(); ++j) {
      if (own_products) {
        std::vector<float> v;
        for (std::size_t n = 0; n < p.size(); ++n) v.push_back(v_of(n, j));
        free_o[j].absorb(alpha, p, v, order, random);
        continue;
      }
      float factor = alpha;
      for (std::size_t first = 0; first < p.size(); first += step, factor = 1.0f) {
        const std::size_t last = std::min(p.size(), first + step);
        const std::vector<float> part(p.begin() + first, p.begin() + last);
        std::vector<float> v;
        for (std::size_t n = first; n < last; ++n) v.push_back(v_of(n, j));
        if (recipe.pv.promote_every == 0)
          o[j] = chain_row(pv, part, v, numerics::Start::from_d, flush(o[j] * factor));
        else
          o[j] =
              rescale_and_add(o[j], factor, chain_row(pv, part, v, numerics::Start::absent, 0.0f),
                              fuses && random() % 2);
      }
    }
  }
  result.l =
      any_order ? free_l.total(random) : (fixed_l[0] + fixed_l[2]) + (fixed_l[1] + fixed_l[3]);
  const float r = reciprocal(recipe, result.l, liberties.freedom.reciprocal_ulp, random);
  for (std::size_t j = 0; j < o.size(); ++j) {
    const float sum = own_products ? free_o[j].total(random) : o[j];
    result.out.push_back(cast(flush(flush(sum * r) * (head.v.scale(0, j) / recipe.p.multiplier)),
                              recipe.output, numerics::Overflow::infinity));
  }
  return result;
}

}  // namespace karat::bounds
