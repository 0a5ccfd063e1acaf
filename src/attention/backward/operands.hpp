// Private: what the backward's products read of q, k, v and dO.
#pragma once

#include <span>
#include <utility>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/attention/operations/backward.hpp"

namespace karat::attention {

/// Rows of q, k and v before they are coded, over positions, smoothed; padding is zero.
struct InputRows {
  std::vector<float> q, k, v;
  std::vector<float> k_mean;  ///< what smoothing took; empty without
};
/// @throws Error(usage) unless the input has tokens x channels values
InputRows input_rows(const recipe::Recipe& recipe, const layout::Layout& layout,
                     const HeadInput& input);

/// fl(code*s) of every element.
std::vector<float> decoded(const numerics::Fp32& fp, const quant::Quantised& x);

/// Lends an operand that lives elsewhere, or owns one.
class Operand {
 public:
  Operand() = default;
  explicit Operand(const quant::Quantised& lent) : lent_(&lent) {}
  explicit Operand(quant::Quantised&& own) : own_(std::move(own)) {}
  const quant::Quantised& operator*() const { return lent_ != nullptr ? *lent_ : own_; }
  const quant::Quantised* operator->() const { return &**this; }

 private:
  const quant::Quantised* lent_ = nullptr;
  quant::Quantised own_;
};

/// The operand a product reads by its source. The codes are lent: they must outlive the result.
/// @param input  rows before coding, for Source::input
Operand read_as(recipe::Source source, const quant::Quantised& coded, std::vector<float> input,
                const BackwardKernel& kernel, numerics::Path path, int threads);

/// dO, rows over positions, coded by backward.d_o; its groups of tiles and rows are those of q.
quant::Quantised coded_gradient(const recipe::Recipe& recipe, const layout::Layout& layout,
                                const mask::BlockMap& blocks, std::span<const float> rows,
                                numerics::Path path, int threads);

/// The first position of a block that holds a token, or the block's first.
std::int64_t first_token(const video::TokenOrder& order, video::Range block);

/// @throws Error(usage) where a block's tokens have several scales
void require_constant_scales(const char* name, const quant::Quantised& x,
                             const video::TokenOrder& order, std::span<const video::Range> blocks);

}  // namespace karat::attention
