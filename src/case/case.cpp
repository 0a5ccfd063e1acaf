// From a case to heads at work.
#include "karat/case/case.hpp"

#include "karat/attention/predict.hpp"
#include "karat/case/all_heads.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/grid.hpp"
#include "karat/recipe/validate.hpp"

namespace karat::cases {

Case make_case(recipe::Recipe recipe, std::shared_ptr<const Inputs> inputs,
               std::shared_ptr<const GivenMask> mask) {
  const bool replaced = mask && !mask->has_windows();
  if (replaced) {
    recipe.mask.kind = recipe::MaskKind::given;
    recipe::validate(recipe, "a mask with recipe " + recipe.name);
  }
  if (inputs->shape().grid_origin == GridOrigin::assumed)
    recipe::require_grid_free(recipe, inputs->shape().grid.volume());
  if (mask) {
    mask->require_heads(inputs->shape().batch, inputs->shape().heads);
    mask->require_pairs();
  }
  if (replaced) {
    const video::TokenOrder order = layout::make_order(recipe.mask, inputs->setting());
    mask->require_order(order);
    if (mask->reading().pairs == MaskOrder::positions)
      mask = std::make_shared<GivenMask>(mask->by_token(order));
  }
  inputs = with_largest_of_all(recipe, std::move(inputs));
  return {std::move(recipe), std::move(inputs), std::move(mask)};
}

Layouts layouts_of(const recipe::Recipe& recipe, const GivenMask* mask) {
  const bool differ = attention::depends_on_head(recipe) || (mask != nullptr && mask->per_head());
  return differ ? Layouts::per_head : Layouts::shared;
}

layout::Layout head_layout(const recipe::Recipe& recipe, const layout::Setting& setting,
                           const GivenMask* mask, std::size_t batch, std::size_t head,
                           const attention::HeadInput* values, int threads) {
  if (mask != nullptr) return mask->layout(recipe, setting, batch, head);
  if (!attention::depends_on_head(recipe)) return layout::make_layout(recipe, setting);
  if (values == nullptr)
    throw Error(ErrorKind::usage, "predict.rule", "looks at values, the input holds codes",
                "give q, k and v as values");
  return attention::layout_of_head(recipe, setting, *values, threads);
}

void read_head(const Inputs& inputs, std::size_t batch, std::size_t head, int threads,
               GivenHead& into) {
  into.codes.reset();
  into.values = {};
  if (inputs.coded())
    into.codes = inputs.codes(batch, head);
  else
    into.values = inputs.borrowed(batch, head, threads, into.room);
}

attention::QuantisedHead operands_of(const recipe::Recipe& recipe, const layout::Layout& layout,
                                     const GivenHead& head, int threads) {
  if (head.codes) return quantised(recipe, layout, *head.codes);
  return attention::quantise_head(recipe, layout, head.values, numerics::Path::fast, threads);
}

void for_each_head(const Case& of, const HeadLoop& loop,
                   const std::function<void(HeadAtWork&)>& visit) {
  const InputShape& shape = of.shape();
  const bool per_head = layouts_of(of) == Layouts::per_head;
  layout::Layout layout;
  if (!per_head) layout = head_layout(of, 0, 0, nullptr, loop.threads);
  GivenHead given;
  for (std::size_t number = 0; number < shape.batch * shape.heads; ++number) {
    const std::size_t batch = number / shape.heads, head = number % shape.heads;
    if (loop.begin) loop.begin(number);
    read_head(*of.inputs, batch, head, loop.threads, given);
    if (per_head) layout = head_layout(of, batch, head, given.values_or_null(), loop.threads);
    HeadAtWork work{.batch = batch,
                    .head = head,
                    .number = number,
                    .layout = layout,
                    .values = given.values,
                    .operands = {}};
    if (given.codes || loop.needs != HeadNeeds::values)
      work.operands = operands_of(of.recipe, layout, given, loop.threads);
    if (loop.needs == HeadNeeds::operands) {
      work.values = {};
      given = {};
    } else if (given.codes) {
      given.room = dequantised(layout, work.operands);
      work.values = given.room.view();
    }
    visit(work);
  }
}

}  // namespace karat::cases
