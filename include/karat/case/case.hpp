// A case: a recipe, the heads it computes and at most one mask of the caller's. The one place that
// says what a head's layout and operands are, and the one loop over heads.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>

#include "karat/attention/head.hpp"
#include "karat/case/given_mask.hpp"
#include "karat/case/inputs.hpp"
#include "karat/layout/layout.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::cases {

struct Case {
  recipe::Recipe recipe;
  std::shared_ptr<const Inputs> inputs;
  std::shared_ptr<const GivenMask> mask;  ///< null: the recipe says which pairs are kept

  const InputShape& shape() const { return inputs->shape(); }
};

/// A mask takes the place of the recipe's: mask.kind becomes given, or the windows head by head
/// those of the mask. Pairs by position become pairs by token here and nowhere else.
/// @throws Error(usage) when the mask is made for other heads or tokens, lists partial blocks
///   without their pairs, or the recipe cannot take one; when the recipe needs a grid and nobody
///   said one
Case make_case(recipe::Recipe recipe, std::shared_ptr<const Inputs> inputs,
               std::shared_ptr<const GivenMask> mask = nullptr);

enum class Layouts {
  shared,   ///< one for all heads
  per_head  ///< predicted from each head's values, or given head by head
};
Layouts layouts_of(const recipe::Recipe& recipe, const GivenMask* mask);
inline Layouts layouts_of(const Case& of) { return layouts_of(of.recipe, of.mask.get()); }

/// The layout of one head. `values` are looked at only where a mask is predicted; null is fine
/// else.
/// @throws Error(usage) for a predicted mask without values
layout::Layout head_layout(const recipe::Recipe& recipe, const layout::Setting& setting,
                           const GivenMask* mask, std::size_t batch, std::size_t head,
                           const attention::HeadInput* values, int threads);
inline layout::Layout head_layout(const Case& of, std::size_t batch, std::size_t head,
                                  const attention::HeadInput* values, int threads) {
  return head_layout(of.recipe, of.inputs->setting(), of.mask.get(), batch, head, values, threads);
}

/// One head as the case holds it: values, or codes and scales.
struct GivenHead {
  attention::HeadInput values;  ///< the caller's memory or `room`; empty where there are codes
  std::optional<CodedHead> codes;
  HeadValues room;

  const attention::HeadInput* values_or_null() const { return codes ? nullptr : &values; }
};
void read_head(const Inputs& inputs, std::size_t batch, std::size_t head, int threads,
               GivenHead& into);

/// The operands as the kernel reads them.
attention::QuantisedHead operands_of(const recipe::Recipe& recipe, const layout::Layout& layout,
                                     const GivenHead& head, int threads);

struct HeadAtWork {
  std::size_t batch, head;
  std::size_t number;            ///< batch * heads + head
  const layout::Layout& layout;  ///< shared layouts outlive the loop's last head, others this one
  /// Original token order; where the case holds codes scale * code. Empty unless asked for.
  attention::HeadInput values;
  attention::QuantisedHead operands;  ///< empty unless asked for; may be taken
  int threads;                        ///< what a visit may use
  int at_once = 1;                    ///< heads that are computed at once, each on one thread
  std::chrono::steady_clock::time_point began = {};  ///< before it was read
};

/// What a visit looks at. Values that it does not look at take no memory while it runs.
enum class HeadNeeds { operands, values, both };

struct HeadLoop {
  int threads = 0;
  HeadNeeds needs = HeadNeeds::operands;
  /// Before anything of head `number` is read. An exception stops the loop. (compute_heads():
  /// from any worker.)
  std::function<void(std::size_t number)> begin = {};
  /// compute_heads(): bytes that a visit holds until its head is delivered, beside the head itself.
  double visit_bytes = 0;
  /// compute_heads(): bytes for heads under way; empty: half of what the machine has free.
  std::optional<double> memory = {};
};

/// Heads one after the other, batch entry by batch entry.
void for_each_head(const Case& of, const HeadLoop& loop,
                   const std::function<void(HeadAtWork&)>& visit);

/// What is left to do of a computed head. The head at work and its layout live until it is over.
using Delivery = std::function<void()>;

/// The same heads, small ones side by side, each on one thread, as case/side_by_side.hpp says.
/// Visits then run on any worker and share nothing that changes; what they return runs one head
/// after the other, in the order of heads. Results depend on neither.
/// The failure of the first head that fails comes out, with all heads before it delivered.
void compute_heads(const Case& of, const HeadLoop& loop,
                   const std::function<Delivery(HeadAtWork&)>& visit);

}  // namespace karat::cases
