// The loop over groups of query heads that share one head of k and v, and what is told of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "karat/case/backward.hpp"
#include "karat/files/json_file.hpp"

namespace karat::cases {

/// How far given outputs are from the recipe's own forward, over some query blocks of each head.
struct GivenAgainstOwn {
  std::size_t rows = 0;               ///< compared so far, those without keys in either left out
  double squared_difference = 0;      ///< of o
  double squared_size = 0;            ///< of the recipe's o
  double largest_lse_difference = 0;  ///< in the units of softmax.lse
  std::size_t other_rows = 0;         ///< without keys in one of the two alone
  double relative_l2() const;         ///< of o; 0 where nothing was compared
  /// In one line, with a hint where the two cannot be of one forward.
  std::string told(const recipe::Recipe& recipe) const;
};

struct GroupLoop {
  int threads = 0;
  /// Before anything of query head `number` is read. An exception stops the loop.
  std::function<void(std::size_t number)> begin = {};
  /// The forward of a query head, which may take no operands. Empty: attend(). Not called where
  /// the inputs give its outputs.
  std::function<GivenOutputs(HeadAtWork&)> forward = {};
  /// Where the inputs give outputs: not null asks for the comparison.
  GivenAgainstOwn* against_own = nullptr;
};

/// Elements of gradients that are Inf or NaN: of finite inputs, where sums or casts overflow.
struct NotFinite {
  std::int64_t dq = 0, dk = 0, dv = 0;
  bool any() const { return dq + dk + dv > 0; }
  void count(const attention::BackwardResult& result);
  /// In one line. @pre any()
  std::string told() const;
};
files::Json to_json(const NotFinite& found);        ///< dq, dk, dv
files::Json to_json(const GivenAgainstOwn& found);  ///< docs/json.md, "given_forward"

/// A group whose forwards are done.
struct GroupAtWork {
  std::size_t batch, kv_head;
  std::size_t number;  ///< of its last query head
  const layout::Layout& layout;
  BackwardRun& backward;  ///< complete
};

/// Groups of query heads that share one head of k and v, one after the other: outputs of each head,
/// computed or given, then the visit.
/// @throws Error(usage) as BackwardRun
void for_each_group(const Case& of, const GroupLoop& loop,
                    const std::function<void(GroupAtWork&)>& visit);

}  // namespace karat::cases
