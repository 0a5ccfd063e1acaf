// One group of query heads after the other.
#include "karat/case/backward.hpp"

#include <utility>

#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::cases {

void require_backward(const recipe::Recipe& recipe) {
  if (recipe.backward.exists()) return;
  std::string names;
  for (const std::string_view name : recipe::preset_names())
    if (recipe::preset(name).backward.exists())
      names += (names.empty() ? "" : ", ") + std::string(name);
  throw Error(ErrorKind::usage, "recipe " + recipe.name, "has no backward",
              "give one with backward.loop: " + names);
}

BackwardRun::BackwardRun(const Case& of, int threads)
    : case_(of), threads_(threads), group_(of.shape().group()) {
  require_backward(of.recipe);
  if (of.inputs->output_gradient_origin() == GradientOrigin::none)
    throw Error(ErrorKind::usage, "do", "is missing: the case has no gradient of its output",
                "give one in the shape of q, or have one made");
  if (of.inputs->coded() && attention::backward_needs_values(of.recipe))
    throw Error(ErrorKind::usage, "backward",
                "reads q, k and v as they were before coding, the input holds codes",
                "give q, k and v as values");
  if (group_ > 1 && layouts_of(of) == Layouts::per_head)
    throw Error(ErrorKind::usage, "kv_heads",
                "heads that share k and v have masks of their own, and no backward sums over those",
                "give one mask for all heads, or as many heads of k and v as of q");
}

void BackwardRun::add(HeadAtWork& work, std::vector<float> o, std::vector<float> lse) {
  if (complete()) heads_.clear();
  const auto copy = [](std::span<const float> x) { return std::vector<float>(x.begin(), x.end()); };
  Head& head = heads_.emplace_back();
  head.operands = std::move(work.operands);
  head.values = {.q = copy(work.values.q),
                 .k = copy(work.values.k),
                 .v = copy(work.values.v),
                 .format = work.values.format};
  head.o = std::move(o);
  head.lse = std::move(lse);
  head.d_o = case_.inputs->output_gradient(work.batch, work.head);
  if (case_.recipe.backward.delta == recipe::Delta::unquantised_p)
    head.o_unquantised_p = attention::unquantised_p_output(case_.recipe, work.layout, head.operands,
                                                           numerics::Path::fast, threads_);
}

attention::BackwardResult BackwardRun::run(const layout::Layout& layout,
                                           const attention::BackwardOptions& options) {
  std::vector<attention::BackwardHead> given;
  for (const Head& head : heads_)
    given.push_back({.head = &head.operands,
                     .input = head.values.view(),
                     .o = head.o,
                     .lse = head.lse,
                     .d_o = head.d_o,
                     .o_unquantised_p = head.o_unquantised_p});
  return attention::attend_backward(case_.recipe, layout, given, options);
}

}  // namespace karat::cases
