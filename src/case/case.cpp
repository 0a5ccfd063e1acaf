// From a case to heads at work.
#include "karat/case/case.hpp"

#include "karat/attention/predict.hpp"
#include "karat/case/all_heads.hpp"
#include "karat/case/side_by_side.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
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

namespace {

/// A head from reading to the end of its visit.
struct HeadRoom {
  GivenHead given;
  layout::Layout own;  ///< of this head alone, where heads have layouts of their own
  std::optional<HeadAtWork> work;
};

/// The loop's heads, one by one on the threads that it is told.
class Heads {
 public:
  Heads(const Case& of, const HeadLoop& loop)
      : case_(of), loop_(loop), per_head_(layouts_of(of) == Layouts::per_head) {
    if (!per_head_) shared_ = head_layout(of, 0, 0, nullptr, loop.threads);
  }
  std::size_t count() const { return case_.shape().batch * case_.shape().heads; }

  HeadAtWork& read(std::size_t number, int threads, int at_once, HeadRoom& into) const {
    const std::size_t heads = case_.shape().heads, batch = number / heads, head = number % heads;
    GivenHead& given = into.given;
    if (loop_.begin) loop_.begin(number);
    const auto began = std::chrono::steady_clock::now();
    read_head(*case_.inputs, batch, head, threads, given);
    if (per_head_) into.own = head_layout(case_, batch, head, given.values_or_null(), threads);
    const layout::Layout& layout = per_head_ ? into.own : shared_;
    HeadAtWork& work = into.work.emplace(HeadAtWork{.batch = batch,
                                                    .head = head,
                                                    .number = number,
                                                    .layout = layout,
                                                    .values = given.values,
                                                    .operands = {},
                                                    .threads = threads,
                                                    .at_once = at_once,
                                                    .began = began});
    if (given.codes || loop_.needs != HeadNeeds::values)
      work.operands = operands_of(case_.recipe, layout, given, threads);
    if (loop_.needs == HeadNeeds::operands) {
      work.values = {};
      given = {};
    } else if (given.codes) {
      given.room = dequantised(layout, work.operands);
      work.values = given.room.view();
    }
    return work;
  }

 private:
  const Case& case_;
  const HeadLoop& loop_;
  bool per_head_;
  layout::Layout shared_;
};

SideBySide plan(const Case& of, const HeadLoop& loop, std::size_t heads) {
  const int threads = loop.threads > 0 ? loop.threads : numerics::default_threads();
  if (threads == 1 || heads == 1) return {};
  const auto block = static_cast<std::size_t>(of.recipe.block.q);
  return side_by_side({.heads = heads,
                       .query_blocks = (of.shape().tokens() + block - 1) / block,
                       .threads = threads,
                       .head_bytes = head_bytes(of) + loop.visit_bytes,
                       .memory = loop.memory ? *loop.memory : free_memory() / 2});
}

}  // namespace

void for_each_head(const Case& of, const HeadLoop& loop,
                   const std::function<void(HeadAtWork&)>& visit) {
  const Heads heads(of, loop);
  HeadRoom room;
  for (std::size_t number = 0; number < heads.count(); ++number)
    visit(heads.read(number, loop.threads, 1, room));
}

void compute_heads(const Case& of, const HeadLoop& loop,
                   const std::function<Delivery(HeadAtWork&)>& visit) {
  const Heads heads(of, loop);
  const SideBySide crowd = plan(of, loop, heads.count());
  if (crowd.heads > 0) of.inputs->prepare(crowd.at_once);
  numerics::parallel_in_order(crowd.heads, crowd.at_once, [&](std::size_t number, int) -> Delivery {
    const auto room = std::make_shared<HeadRoom>();
    Delivery deliver = visit(heads.read(number, 1, crowd.at_once, *room));
    return [room, deliver = std::move(deliver)] {
      if (deliver) deliver();
    };
  });
  HeadRoom room;
  for (std::size_t number = crowd.heads; number < heads.count(); ++number)
    if (const Delivery deliver = visit(heads.read(number, loop.threads, 1, room))) deliver();
}

}  // namespace karat::cases
