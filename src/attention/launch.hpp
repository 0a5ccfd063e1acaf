// What both engines share: the launch's constants, one query block's state and its finish.
#pragma once

#include <vector>

#include "arithmetic.hpp"
#include "karat/attention/attend.hpp"

namespace karat::attention {

/// Constants of a launch, computed once.
struct Launch {
  Launch(const recipe::Recipe& recipe, const layout::Layout& layout, const QuantisedHead& head,
         double score_factor = 1.0);

  const recipe::Recipe& recipe;
  const layout::Layout& layout;
  const QuantisedHead& head;
  const numerics::Instruction& qk;
  const numerics::Instruction& pv;
  Fp32 fp32;
  std::size_t channels;
  float c;             ///< f32(d^-1/2 * log2 e), or what score_scale and scale_order leave of it
  bool fused;          ///< scores and maxima times factor() are in log2 units
  bool scores_scaled;  ///< false: s = fl(A*c), the scales of q and k stay out (score_scale omitted)
  float masked_score;
  float initial_max;
  float largest_p;          ///< largest finite value of P's format
  bool v_scaled_per_block;  ///< v's scale varies along the keys: it enters when T is promoted

  mask::BlockMap::Entry entry(int query_block, std::size_t visited) const {
    return layout.blocks.rows[query_block][visited];
  }
  /// Scale of q k^T for this pair, before c.
  float q_scale(std::int64_t position) const { return head.q.scale(position, 0); }
  float k_scale(std::int64_t position) const { return head.k.scale(position, 0); }
  /// What the fused multiply-add multiplies the scores of this row by.
  float factor(std::int64_t query, std::int64_t key) const {
    if (recipe.qk.scale_order == recipe::ScaleOrder::scaled_then_fused) return c;
    return fp32.multiply(fp32.multiply(q_scale(query), k_scale(key)), c);
  }
  /// Keys [begin, end) of a block whose T is formed and promoted together, one after the other.
  std::vector<video::Range> segments(video::Range keys) const;
};

/// Running state of the rows of one query block.
struct RowState {
  RowState() = default;
  RowState(const Launch& launch, std::size_t rows);
  std::vector<float> m;        ///< per row, some more behind them for vector loops
  std::vector<float> partial;  ///< rows x 4, the lanes of the row sum
  std::vector<float> o;        ///< rows x channels
};

/// The four (or one) partial sums of a row added up as row_sum_order says.
float row_sum(const Launch& launch, const float* partial);

/// m' from the old maximum and the block's: the threshold of lazy rescaling included, in log2 units
/// (f: Launch::factor of the row). A maximum of zero is +0, whichever zero came first.
float next_maximum(const Launch& launch, float m, float block_maximum, float f);

/// Skip::block_maximum: largest (block maximum - m) over the rows of a visit other than the first.
class SkipTest {
 public:
  SkipTest(const Launch& launch, std::size_t visit)
      : skip_(launch.recipe.skip),
        fp32_(launch.fp32),
        fused_(launch.fused),
        active_(visit > 0 && skip_.rule == recipe::SkipRule::block_maximum) {}
  void row(float m_before, float block_maximum, float f) {
    const auto log2 = [&](float x) { return fused_ ? fp32_.multiply(x, f) : x; };
    const float gain =
        block_maximum == -kInfinity ? -kInfinity : fp32_.add(log2(block_maximum), -log2(m_before));
    largest_ = gain > largest_ ? gain : largest_;
  }
  bool skips() const { return active_ && fp32_.add(largest_, skip_.threshold) <= 0; }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  recipe::Skip skip_;
  Fp32 fp32_;
  bool fused_;
  bool active_;
  float largest_ = -kInfinity;
};

/// Divides, scales and rounds a block's rows into the result, original token order. Both paths give
/// the same bits.
void finish(const Launch& launch, video::Range queries, const RowState& state,
            numerics::Path path, HeadResult& result);

/// One query block from start to finish. `tap` may be null.
void run_block_scalar(const Launch& launch, int query_block, HeadResult& result, BlockTap* tap,
                      std::int64_t& saturated);

}  // namespace karat::attention
