// The output of the same forward whose P is rounded to BF16 and never coded.
#include "backward/operands.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/attention/operations/cast.hpp"

namespace karat::attention {

using numerics::FormatId;

recipe::Recipe unquantised_p(const recipe::Recipe& recipe) {
  recipe::Recipe plain = recipe;
  const auto overflow = quant::usual_overflow(FormatId::bf16);
  plain.backward = {};
  plain.p = {.format = FormatId::bf16, .overflow = overflow};
  plain.v = {.format = FormatId::bf16,
             .overflow = overflow,
             .smooth = recipe.v.smooth,
             .smooth_mean = recipe.v.smooth_mean};
  plain.pv = {.instruction = "hopper.wgmma.bf16.f32", .promote_every = 0};
  return plain;
}

QuantisedHead unquantised_p_head(const recipe::Recipe& recipe, const QuantisedHead& head,
                                 numerics::Path path) {
  QuantisedHead plain = head;
  quant::Quantised& v = plain.v;
  v.values = decoded(numerics::Fp32{recipe.subnormals}, v);
  cast(v.values, FormatId::bf16, quant::cast_policy(FormatId::bf16), path);
  v.format = FormatId::bf16;
  v.codes.clear();
  v.scales.clear();
  return plain;
}

std::vector<float> unquantised_p_output(const recipe::Recipe& recipe, const layout::Layout& layout,
                                        const QuantisedHead& head, numerics::Path path,
                                        int threads) {
  return attend(unquantised_p(recipe), layout, unquantised_p_head(recipe, head, path),
                {.path = path, .threads = threads})
      .o;
}

}  // namespace karat::attention
