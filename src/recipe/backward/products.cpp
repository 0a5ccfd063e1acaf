// Implementation of products.hpp.
#include "products.hpp"

namespace karat::recipe {

numerics::FormatId entering_format(Source source, const quant::Rule& rule,
                                   numerics::FormatId plain) {
  return source == Source::codes ? quant::entering_format(rule) : plain;
}

std::array<Product, 5> products(const Recipe& recipe) {
  const Backward& b = recipe.backward;
  const auto format = [&](Source source, const quant::Rule& rule) {
    return entering_format(source, rule, b.plain);
  };
  const auto q = format(b.q, recipe.q), k = format(b.k, recipe.k), v = format(b.v, recipe.v);
  const auto p = quant::entering_format(b.p), ds = quant::entering_format(b.ds);
  const auto coded_do = quant::entering_format(b.d_o), do_in_dp = format(b.do_in_dp, b.d_o);
  return {{{"backward.s", &Backward::s, "q", "k", q, k},
           {"backward.dp", &Backward::dp, "do", "v", do_in_dp, v},
           {"backward.dv", &Backward::dv, "p", "do", p, coded_do},
           {"backward.dq", &Backward::dq, "ds", "k", ds, k},
           {"backward.dk", &Backward::dk, "ds", "q", ds, q}}};
}

}  // namespace karat::recipe
