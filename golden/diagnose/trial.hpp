// One hypothesis at work: the head as a kernel sees it under the hypothesis' recipe and mistakes.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "hypothesis.hpp"
#include "karat/attention/attend.hpp"
#include "karat/golden/golden_file.hpp"
#include "kernel.hpp"

namespace karat::golden {

struct BackwardBase;
struct BackwardTrial;

/// The head under the golden recipe; every trial starts from it.
struct Base {
  const GoldenFile& golden;
  std::size_t batch, head;
  const recipe::Recipe& recipe;
  std::shared_ptr<const cases::Inputs> inputs;
  std::shared_ptr<const cases::HeadValues> values;  ///< null where the case holds codes
  std::shared_ptr<const cases::CodedHead> codes;    ///< null where the case holds values
  std::shared_ptr<const layout::Layout> layout;
  std::shared_ptr<const attention::QuantisedHead> operands;
  std::shared_ptr<std::mutex> file;                        ///< HDF5 reads one thing at a time
  std::shared_ptr<const BackwardBase> backward = nullptr;  ///< where gradients are diagnosed

  /// Inputs of another query head of the batch item. @pre values is not null
  cases::HeadValues values_of(std::size_t other) const;
};
Base make_base(const GoldenFile& golden, std::size_t batch, std::size_t head);

/// Where a row of the output comes from; what the kernel computes is row `token` of `head`.
struct RowSource {
  std::size_t head;
  std::int32_t token;
};

struct Trial {
  Trial(const Base& from, recipe::Recipe chosen)
      : base(from),
        recipe(std::move(chosen)),
        setting(from.inputs->setting()),
        mask_head(from.head),
        values(from.values) {}

  const Base& base;
  recipe::Recipe recipe;
  layout::Setting setting;  ///< grid and text as the kernel takes them
  std::size_t mask_head;    ///< whose given or predicted mask it uses
  std::shared_ptr<const cases::HeadValues> values;
  std::shared_ptr<layout::Layout> layout;
  std::shared_ptr<const attention::QuantisedHead> operands;
  std::optional<double> score_factor;
  KernelFaults faults;
  KernelExp2 exp2;  ///< another legal exp2 (the checker's own tests)
  /// Output mistakes: the row that stands where row (head, token) should, and its channels.
  std::vector<RowSource (*)(const Trial&, RowSource)> rows;
  std::vector<std::int32_t> channel_from;  ///< empty: as they are
  BackwardTrial* backward = nullptr;       ///< Moment::backward changes it

  /// Copies to change. The first call replaces `values` or `operands`: what stood there may be
  /// gone.
  cases::HeadValues& own_values();
  attention::QuantisedHead& own_operands();

 private:
  std::shared_ptr<cases::HeadValues> changed_values_;
  std::shared_ptr<attention::QuantisedHead> changed_operands_;
};

/// Whether one of the hypothesis' mistakes happens at one of these moments.
bool has_moment(const Hypothesis& hypothesis, std::initializer_list<Moment> moments);

/// Recipe, inputs, layout and operands in that order, each mistake at its moment; nothing when one
/// of them cannot be made here.
/// @throws Error(usage) when the hypothesis has no meaning on this case
std::optional<Trial> prepare(const Base& base, const Hypothesis& hypothesis,
                             const KernelExp2& exp2);

}  // namespace karat::golden
