// From a hypothesis to operands: what golden recipe and hypothesis share is taken from the base.
#include "trial.hpp"

#include <algorithm>

#include "karat/attention/predict.hpp"

namespace karat::golden {
namespace {

/// Whether the stage is as the golden recipe makes it: all edited fields decide later ones.
bool keeps(const Hypothesis& hypothesis, recipe::Decides stage) {
  return std::ranges::all_of(hypothesis.edits, [stage](const FieldEdit& edit) {
    return recipe::field(edit.field).decides > stage;
  });
}

std::shared_ptr<layout::Layout> layout_for(const Trial& trial) {
  const Base& base = trial.base;
  std::optional<cases::HeadValues> others;
  if (trial.mask_head != base.head && attention::depends_on_head(trial.recipe))
    others = base.values_of(trial.mask_head);
  std::optional<attention::HeadInput> values;
  if (others)
    values = others->view();
  else if (trial.values)
    values = trial.values->view();
  return std::make_shared<layout::Layout>(
      cases::head_layout(trial.recipe, trial.setting, base.golden.mask(), base.batch,
                         trial.mask_head, values ? &*values : nullptr, 1));
}

std::shared_ptr<const attention::QuantisedHead> operands_of(const Trial& trial) {
  return std::make_shared<attention::QuantisedHead>(
      trial.values ? attention::quantise_head(trial.recipe, *trial.layout, trial.values->view(),
                                              numerics::Path::fast)
                   : cases::quantised(trial.recipe, *trial.layout, *trial.base.codes));
}

bool apply(Trial& trial, const Hypothesis& hypothesis, Moment moment) {
  for (const Mistake* mistake : hypothesis.mistakes)
    if (mistake->moment == moment && !mistake->apply(trial, mistake->which)) return false;
  return true;
}

/// A copy of `from` on first use; `from` points to it from then on.
template <typename T>
T& own(std::shared_ptr<const T>& from, std::shared_ptr<T>& changed) {
  if (!changed) {
    changed = std::make_shared<T>(*from);
    from = changed;
  }
  return *changed;
}

}  // namespace

cases::HeadValues Base::values_of(std::size_t other) const {
  const std::lock_guard lock(*file);
  return inputs->values(batch, other, 1);
}

cases::HeadValues& Trial::own_values() { return own(values, changed_values_); }
attention::QuantisedHead& Trial::own_operands() { return own(operands, changed_operands_); }

Base make_base(const GoldenFile& golden, std::size_t batch, std::size_t head) {
  Base base{.golden = golden,
            .batch = batch,
            .head = head,
            .recipe = golden.recipe(),
            .inputs = golden.opened_case().inputs,
            .values = {},
            .codes = {},
            .layout = {std::shared_ptr<void>(), &golden.layout(batch, head)},  // the file's own
            .operands = std::make_shared<attention::QuantisedHead>(golden.operands(batch, head)),
            .file = std::make_shared<std::mutex>()};
  if (base.inputs->coded())
    base.codes = std::make_shared<cases::CodedHead>(base.inputs->codes(batch, head));
  else
    base.values = std::make_shared<cases::HeadValues>(base.inputs->values(batch, head, 1));
  return base;
}

bool has_moment(const Hypothesis& hypothesis, std::initializer_list<Moment> moments) {
  return std::ranges::any_of(hypothesis.mistakes, [&](const Mistake* mistake) {
    return std::ranges::find(moments, mistake->moment) != moments.end();
  });
}

std::optional<Trial> prepare(const Base& base, const Hypothesis& hypothesis,
                             const KernelExp2& exp2) {
  Trial trial(base, hypothesis.recipe);
  trial.exp2 = exp2;
  if (!apply(trial, hypothesis, Moment::launch) || !apply(trial, hypothesis, Moment::inputs))
    return std::nullopt;
  const bool as_golden = !has_moment(hypothesis, {Moment::launch, Moment::inputs, Moment::layout});
  if (as_golden && keeps(hypothesis, recipe::Decides::visits))
    trial.layout = std::const_pointer_cast<layout::Layout>(base.layout);  // never changed below
  else
    trial.layout = layout_for(trial);
  if (!apply(trial, hypothesis, Moment::layout)) return std::nullopt;
  const bool same_operands = as_golden && keeps(hypothesis, recipe::Decides::operands);
  trial.operands = same_operands ? base.operands : operands_of(trial);
  for (const Moment moment : {Moment::operands, Moment::kernel, Moment::output})
    if (!apply(trial, hypothesis, moment)) return std::nullopt;
  return trial;
}

}  // namespace karat::golden
