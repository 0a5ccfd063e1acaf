// The table of mistakes: each one small transformation of inputs, layout, operands, kernel or output.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "trial.hpp"

namespace karat::golden {
namespace {

enum Which { kQ = 0, kK = 1, kV = 2 };

quant::Quantised& operand(attention::QuantisedHead& head, int which) {
  return which == kQ ? head.q : which == kK ? head.k : head.v;
}
std::vector<float>& tensor(HeadValues& values, int which) {
  return which == kQ ? values.q : which == kK ? values.k : values.v;
}
const attention::Layout& layout_of(const Trial& trial) { return *trial.layout; }

// --- inputs -----------------------------------------------------------------------------------

/// Operands `which` (a bit each: 1 q, 2 k, 4 v) come from the next head.
bool from_next_head(Trial& trial, int which) {
  const HeadShape& shape = trial.base.golden.shape();
  if (!trial.values || shape.heads < 2) return false;
  const HeadValues other = trial.base.values_of((trial.base.head + 1) % shape.heads);
  HeadValues& own = trial.own_values();
  if (which & 1) own.q = other.q;
  if (which & 2) own.k = other.k;
  if (which & 4) own.v = other.v;
  return true;
}

/// The kernel reads BSHD memory where BHSD lies, for operands `which` (bits).
bool heads_and_tokens_exchanged(Trial& trial, int which) {
  const HeadShape& shape = trial.base.golden.shape();
  if (!trial.values || shape.heads < 2) return false;
  const std::size_t heads = shape.heads, tokens = shape.rows, d = shape.channels;
  HeadValues& own = trial.own_values();
  for (std::size_t h = 0; h < heads; ++h) {
    HeadValues other = trial.base.values_of(h);
    for (int x = kQ; x <= kV; ++x) {
      if (!(which >> x & 1)) continue;
      for (std::size_t s = 0; s < tokens; ++s) {
        const std::size_t row = s * heads + trial.base.head;
        if (row / tokens != h) continue;
        std::copy_n(&tensor(other, x)[row % tokens * d], d, &tensor(own, x)[s * d]);
      }
    }
  }
  return true;
}

/// Two operands exchanged, 1 q and k, 2 k and v.
bool operands_exchanged(Trial& trial, int which) {
  if (!trial.values) return false;
  HeadValues& own = trial.own_values();
  std::swap(own.k, which == 1 ? own.q : own.v);
  return true;
}

enum Permutation { kReversed, kHalves, kPairs, kEvenOdd, kOddEven, kFours, kEights };

std::vector<std::int32_t> permutation(std::size_t d, int which) {
  std::vector<std::int32_t> from(d);
  const auto n = static_cast<std::int32_t>(d);
  for (std::int32_t j = 0; j < n; ++j) {
    switch (which) {
      case kReversed: from[j] = n - 1 - j; break;
      case kHalves: from[j] = (j + n / 2) % n; break;
      case kPairs: from[j] = j ^ 1; break;
      case kEvenOdd: from[j] = j < n / 2 ? 2 * j : 2 * (j - n / 2) + 1; break;
      case kOddEven: from[j] = j % 2 == 0 ? j / 2 : n / 2 + j / 2; break;
      case kFours: from[j] = j / 16 * 16 + j % 4 * 4 + j % 16 / 4; break;
      case kEights: from[j] = j ^ 8; break;
    }
    if (from[j] >= n) from[j] = j;
  }
  return from;
}

bool channels_permuted(Trial& trial, int which) {
  trial.channel_from = permutation(layout_of(trial).channels, which);
  return true;
}

/// V's codes move, their scales stay (scales per channel tell the difference).
bool codes_permuted(Trial& trial, int which) {
  if (trial.operands->v.grouping.channels == 1) return false;
  quant::Quantised& v = trial.own_operands().v;
  const auto from = permutation(v.channels, which);
  const std::vector<float> values = v.values;
  for (std::size_t i = 0; i < v.rows; ++i)
    for (std::size_t j = 0; j < v.channels; ++j)
      v.values[i * v.channels + j] = values[i * v.channels + from[j]];
  return true;
}

// --- recipe, beyond what is valid -----------------------------------------------------------------

bool rotated_on_one_side(Trial& trial, int which) {
  quant::Rule& rule = which == kQ ? trial.recipe.q : trial.recipe.k;
  if (rule.rotate == quant::Rotate::none) return false;
  rule.rotate = quant::Rotate::none;
  return true;
}

// --- layout -----------------------------------------------------------------------------------------

void untile(video::TokenOrder& order) {
  std::iota(order.token_at.begin(), order.token_at.end(), 0);
  std::iota(order.position_of.begin(), order.position_of.end(), 0);
}

/// 1: queries and output, 2: keys and values, 3: all stay in the caller's order while mask and blocks
/// take them for tiled.
bool untiled(Trial& trial, int which) {
  attention::Layout& layout = *trial.layout;
  if (layout.order.token_at.size() != layout.order.position_of.size()) return false;  // padding
  if (std::is_sorted(layout.order.token_at.begin(), layout.order.token_at.end())) return false;
  if (which & 1) untile(layout.order);
  if (which & 2) untile(layout.key_order);
  return true;
}

/// The grid's axes exchanged: 0 h and w, 1 t and h, 2 t and w.
bool grid_axes_exchanged(Trial& trial, int which) {
  video::Extent3 grid = trial.base.layout->grid;
  const video::Extent3 as_given = grid;
  if (which == 0) std::swap(grid.h, grid.w);
  if (which == 1) std::swap(grid.t, grid.h);
  if (which == 2) std::swap(grid.t, grid.w);
  if (grid == as_given) return false;
  *trial.layout = attention::make_layout(trial.recipe, grid, trial.base.layout->channels);
  return true;
}

class KeepsAll final : public mask::Mask {
 public:
  explicit KeepsAll(std::int64_t queries, std::int64_t keys) : queries_(queries), keys_(keys) {}
  std::int64_t queries() const override { return queries_; }
  std::int64_t keys() const override { return keys_; }
  mask::Cover cover(video::Range queries, video::Range keys) const override {
    return queries.size() > 0 && keys.size() > 0 ? mask::Cover::full : mask::Cover::none;
  }
  bool keeps(std::int64_t, std::int64_t) const override { return true; }
  std::int64_t kept_pairs() const override { return queries_ * keys_; }

 private:
  std::int64_t queries_, keys_;
};

void keep_all(attention::Layout& layout) {
  for (auto& row : layout.blocks.rows)
    for (auto& entry : row) entry.cover = mask::Cover::full;
  layout.mask = std::make_unique<KeepsAll>(layout.mask->queries(), layout.mask->keys());
}

bool partial_unmasked(Trial& trial, int) {
  const auto& rows = layout_of(trial).blocks.rows;
  const bool any = std::any_of(rows.begin(), rows.end(), [](const auto& row) {
    return std::any_of(row.begin(), row.end(),
                       [](const auto& entry) { return entry.cover == mask::Cover::partial; });
  });
  if (any) keep_all(*trial.layout);
  return any;
}

bool partial_left_out(Trial& trial, int) {
  bool any = false;
  for (auto& row : trial.layout->blocks.rows)
    any |= std::erase_if(row, [](const auto& entry) {
             return entry.cover == mask::Cover::partial;
           }) > 0;
  return any;
}

/// A short block reads on into the tokens behind it.
bool short_blocks_read_on(Trial& trial, int) {
  attention::Layout& layout = *trial.layout;
  const std::int64_t positions = layout.key_order.positions();
  bool any = false;
  for (video::Range& keys : layout.blocks.key_blocks) {
    const std::int64_t end = std::min(keys.begin + trial.recipe.block.k, positions);
    any |= end != keys.end;
    keys.end = end;
  }
  if (any) keep_all(layout);
  return any;
}

enum Visits { kLastLeftOut, kFirstLeftOut, kLastTwice, kNextRow, kPreviousRow };

bool visits_wrong(Trial& trial, int which) {
  auto& rows = trial.layout->blocks.rows;
  if (which == kNextRow) {
    std::rotate(rows.begin(), rows.begin() + 1, rows.end());
    keep_all(*trial.layout);
    return rows.size() > 1;
  }
  if (which == kPreviousRow) {
    std::rotate(rows.begin(), rows.end() - 1, rows.end());
    keep_all(*trial.layout);
    return rows.size() > 1;
  }
  for (auto& row : rows) {
    if (row.size() < 2) continue;
    if (which == kLastLeftOut) row.pop_back();
    if (which == kFirstLeftOut) row.erase(row.begin());
    if (which == kLastTwice) row.push_back(row.back());
  }
  return true;
}

// --- operands -----------------------------------------------------------------------------------------

bool scaled(const Trial& trial, int which) {
  const attention::QuantisedHead& head = *trial.operands;
  return !(which == kQ ? head.q : which == kK ? head.k : head.v).scales.empty();
}

bool scale_of_other(Trial& trial, int which) {
  if (!scaled(trial, kQ) || !scaled(trial, kK)) return false;
  attention::QuantisedHead& head = trial.own_operands();
  quant::Quantised& to = operand(head, which);
  const quant::Quantised& from = operand(head, which == kQ ? kK : kQ);
  for (std::size_t g = 0; g < to.scales.size(); ++g)
    to.scales[g] = from.scales[std::min(g, from.scales.size() - 1)];
  return true;
}

bool scale_missing(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  std::ranges::fill(operand(trial.own_operands(), which).scales, 1.0f);
  return true;
}
bool scale_inverted(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  for (float& s : operand(trial.own_operands(), which).scales) s = 1.0f / s;
  return true;
}
bool scale_twice(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  for (float& s : operand(trial.own_operands(), which).scales) s *= s;
  return true;
}
bool scale_of_next_group(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  auto& scales = operand(trial.own_operands(), which).scales;
  std::rotate(scales.begin(), scales.begin() + 1, scales.end());
  return scales.size() > 1;
}
bool scale_of_first_group(Trial& trial, int which) {
  if (!scaled(trial, which)) return false;
  auto& scales = operand(trial.own_operands(), which).scales;
  std::ranges::fill(scales, scales.front());
  return scales.size() > 1;
}

/// The last k-group of the head dimension is not summed.
bool last_channels_left_out(Trial& trial, int) {
  const auto group = static_cast<std::size_t>(
      numerics::k_group(numerics::instruction(trial.recipe.qk.instruction)));
  quant::Quantised& q = trial.own_operands().q;
  if (group >= q.channels) return false;
  for (std::size_t i = 0; i < q.rows; ++i)
    std::fill_n(&q.values[(i + 1) * q.channels - group], group, 0.0f);
  return true;
}

bool q_mean_forgotten(Trial& trial, int) {
  if (trial.operands->smoothed.q_block_means.empty()) return false;
  trial.own_operands().smoothed.q_block_means.clear();
  return true;
}
bool k_mean_forgotten(Trial& trial, int) {
  if (trial.operands->smoothed.q_dot_k_mean.empty()) return false;
  trial.own_operands().smoothed.q_dot_k_mean.clear();
  return true;
}

enum Constant { kNoRootD, kRootDTwice, kNoLog2E, kLog2ETwice };

bool constant_wrong(Trial& trial, int which) {
  const double root = std::sqrt(static_cast<double>(layout_of(trial).channels));
  constexpr double kLog2E = 1.4426950408889634;
  constexpr double kNone = 1.0;
  const bool omitted = trial.recipe.qk.score_scale == recipe::ScoreScale::omitted;
  if (omitted && which == kNoRootD) return false;
  trial.score_factor = which == kNoRootD      ? root
                       : which == kRootDTwice ? kNone / root
                       : which == kNoLog2E    ? kNone / kLog2E
                                              : kLog2E;
  return true;
}

// --- kernel ---------------------------------------------------------------------------------------------

bool kernel_fault(Trial& trial, int which) {
  if (!kernel_runs(trial.recipe) || trial.score_factor) return false;
  const auto fault = static_cast<KernelFault>(which);
  const recipe::Recipe& recipe = trial.recipe;
  const bool multiplied = recipe.p.apply == recipe::PApply::multiply && recipe.p.multiplier != 1;
  if (fault == KernelFault::multiplier_kept && !multiplied) return false;
  if (fault == KernelFault::v_mean_forgotten && trial.operands->smoothed.v_mean.empty()) return false;
  if (fault == KernelFault::l_of_one_lane &&
      recipe.softmax.row_sum_order != recipe::RowSumOrder::wgmma_quad)
    return false;
  trial.faults.push_back(fault);
  return true;
}
constexpr int fault(KernelFault f) { return static_cast<int>(f); }

// --- output ---------------------------------------------------------------------------------------------

/// What stands in row (head, token) when the kernel wrote [B,S,H,D] and the file says [B,H,S,D].
RowSource bshd_row(const Trial& trial, RowSource row) {
  const HeadShape& shape = trial.base.golden.shape();
  const std::size_t flat = row.head * shape.rows + row.token;
  return {flat % shape.heads, static_cast<std::int32_t>(flat / shape.heads)};
}
RowSource next_head_row(const Trial& trial, RowSource row) {
  return {(row.head + 1) % trial.base.golden.shape().heads, row.token};
}
RowSource previous_head_row(const Trial& trial, RowSource row) {
  const std::size_t heads = trial.base.golden.shape().heads;
  return {(row.head + heads - 1) % heads, row.token};
}
/// The output stays in the kernel's order of positions.
RowSource tiled_row(const Trial& trial, RowSource row) {
  const std::int32_t token = trial.layout->order.token_at[row.token];
  return {row.head, std::max(token, 0)};
}
/// It is put in order twice, or by the inverse of the right permutation.
RowSource inverse_row(const Trial& trial, RowSource row) {
  const auto& order = trial.layout->order;
  const std::int64_t position = order.position_of[order.position_of[row.token]];
  return {row.head, std::max(order.token_at[position], 0)};
}
RowSource reversed_row(const Trial& trial, RowSource row) {
  return {row.head, static_cast<std::int32_t>(trial.base.golden.shape().rows) - 1 - row.token};
}

template <RowSource (*map)(const Trial&, RowSource)>
bool rows_from(Trial& trial, int needs_heads) {
  if (needs_heads && trial.base.golden.shape().heads < 2) return false;
  if (trial.layout->order.token_at.size() != trial.layout->order.position_of.size()) return false;
  trial.rows.push_back(map);
  return true;
}

constexpr std::string_view kScaleIndex = "the index into the scale tensor: its stride, its base "
                                         "and which operand it belongs to";
constexpr std::string_view kReorder = "the reordering of tokens before the kernel and back after it";
constexpr std::string_view kStrides = "strides of head and token, a missing transpose or contiguous()";
constexpr std::string_view kConstant = "the constant that multiplies the scores: d^-1/2, log2 e, and "
                                       "whether exp or exp2 reads it";
constexpr std::string_view kBlockList = "the list of key blocks: counts, offsets, which query block "
                                        "indexes it";
constexpr std::string_view kRescale = "where the accumulators are multiplied by alpha when the "
                                      "maximum moves";
constexpr std::string_view kEpilogue = "the epilogue: 1/l, v's scale, P's multiplier, the cast";
constexpr std::string_view kTranspose = "the transpose of V: the layout of its tile in shared memory "
                                        "against the fragment's";

constexpr Mistake kMistakes[] = {
    // layout
    {"tokens not reordered", "Q, K, V stay row-major while mask and blocks take them for tiled",
     kReorder, Moment::layout, untiled, 3},
    {"queries not reordered", "Q and O stay row-major, K and V are tiled", kReorder, Moment::layout,
     untiled, 1},
    {"keys not reordered", "K and V stay row-major, Q and O are tiled", kReorder, Moment::layout,
     untiled, 2},
    {"output left tiled", "O is stored in the kernel's order of positions", kReorder,
     Moment::output, rows_from<tiled_row>, 0},
    {"output reordered backwards", "O goes back by the inverse of the right permutation", kReorder,
     Moment::output, rows_from<inverse_row>, 0},
    {"output reversed", "tokens of O stand last to first", kReorder, Moment::output,
     rows_from<reversed_row>, 0},
    {"grid axes h and w exchanged", "the grid is taken for t x w x h",
     "the order of the grid's extents", Moment::layout, grid_axes_exchanged, 0},
    {"grid axes t and h exchanged", "the grid is taken for h x t x w",
     "the order of the grid's extents", Moment::layout, grid_axes_exchanged, 1},
    {"grid axes t and w exchanged", "the grid is taken for w x h x t",
     "the order of the grid's extents", Moment::layout, grid_axes_exchanged, 2},
    {"partial blocks unmasked", "every pair of a partial block counts, padding too",
     "the predicate of partial and ragged blocks", Moment::layout, partial_unmasked},
    {"partial blocks left out", "only full key blocks are visited", kBlockList, Moment::layout,
     partial_left_out},
    {"short blocks read on", "a block at the end of a tile reads the tokens behind it",
     "the bound of a tile's last block of keys", Moment::layout, short_blocks_read_on},
    {"last key block left out", "the loop over key blocks ends one early", kBlockList,
     Moment::layout, visits_wrong, kLastLeftOut},
    {"first key block left out", "the loop over key blocks begins one late", kBlockList,
     Moment::layout, visits_wrong, kFirstLeftOut},
    {"last key block twice", "the loop over key blocks visits the last one again", kBlockList,
     Moment::layout, visits_wrong, kLastTwice},
    {"mask of the next query block", "each query block visits its successor's key blocks",
     kBlockList, Moment::layout, visits_wrong, kNextRow},
    {"mask of the previous query block", "each query block visits its predecessor's key blocks",
     kBlockList, Moment::layout, visits_wrong, kPreviousRow},
    // heads
    {"q of the next head", "Q comes from head h+1", kStrides, Moment::inputs, from_next_head, 1},
    {"k and v of the next head", "K and V come from head h+1",
     "the map from query heads to key heads", Moment::inputs, from_next_head, 6},
    {"v of the next head", "V comes from head h+1", kStrides, Moment::inputs, from_next_head, 4},
    {"output of the next head", "head h holds head h+1's output", kStrides, Moment::output,
     rows_from<next_head_row>, 1},
    {"output of the previous head", "head h holds head h-1's output", kStrides, Moment::output,
     rows_from<previous_head_row>, 1},
    {"heads and tokens of o exchanged", "O is [B,S,H,D] in memory, read as [B,H,S,D]", kStrides,
     Moment::output, rows_from<bshd_row>, 1},
    {"heads and tokens of q exchanged", "the kernel reads Q as [B,S,H,D]", kStrides,
     Moment::inputs, heads_and_tokens_exchanged, 1},
    {"heads and tokens of k and v exchanged", "the kernel reads K and V as [B,S,H,D]", kStrides,
     Moment::inputs, heads_and_tokens_exchanged, 6},
    {"heads and tokens of q, k, v exchanged", "the kernel reads all inputs as [B,S,H,D]", kStrides,
     Moment::inputs, heads_and_tokens_exchanged, 7},
    {"q and k exchanged", "S is transposed", "the order of the operands of Q K^T", Moment::inputs,
     operands_exchanged, 1},
    {"k and v exchanged", "V enters Q K^T and K enters P V", "the descriptors of K and V",
     Moment::inputs, operands_exchanged, 2},
    // channels
    {"v channels reversed", "O's channel j is d-1-j", kTranspose, Moment::output,
     channels_permuted, kReversed},
    {"v channel halves exchanged", "O's channel j is j + d/2", kTranspose, Moment::output,
     channels_permuted, kHalves},
    {"v channel pairs exchanged", "O's channel j is j xor 1", kTranspose, Moment::output,
     channels_permuted, kPairs},
    {"v channels even then odd", "O's channels are 0 2 4 ... 1 3 5 ...", kTranspose,
     Moment::output, channels_permuted, kEvenOdd},
    {"v channels interleaved", "O's channels are 0 d/2 1 d/2+1 ...", kTranspose, Moment::output,
     channels_permuted, kOddEven},
    {"v channels transposed 4x4", "within 16 channels rows and columns of 4 are exchanged",
     kTranspose, Moment::output, channels_permuted, kFours},
    {"v channel eights exchanged", "O's channel j is j xor 8", kTranspose, Moment::output,
     channels_permuted, kEights},
    {"v codes reversed, scales not", "V's codes are permuted, its scales are not", kTranspose,
     Moment::operands, codes_permuted, kReversed},
    {"v code halves exchanged, scales not", "V's codes are permuted, its scales are not",
     kTranspose, Moment::operands, codes_permuted, kHalves},
    {"v code pairs exchanged, scales not", "V's codes are permuted, its scales are not",
     kTranspose, Moment::operands, codes_permuted, kPairs},
    {"v codes transposed 4x4, scales not", "V's codes are permuted, its scales are not",
     kTranspose, Moment::operands, codes_permuted, kFours},
    {"last channels left out", "Q K^T misses the last k-group of the head dimension",
     "the loop over the head dimension", Moment::operands, last_channels_left_out},
    // scales
    {"q's scale for k's", "scores use s_q * s_q", kScaleIndex, Moment::operands, scale_of_other,
     kK},
    {"k's scale for q's", "scores use s_k * s_k", kScaleIndex, Moment::operands, scale_of_other,
     kQ},
    {"q_scale missing", "s_q is taken for 1", kScaleIndex, Moment::operands, scale_missing, kQ},
    {"k_scale missing", "s_k is taken for 1", kScaleIndex, Moment::operands, scale_missing, kK},
    {"v_scale missing", "s_v is taken for 1", kEpilogue, Moment::operands, scale_missing, kV},
    {"q_scale inverted", "1/s_q stands for s_q", "whether the tensor holds scales or descales",
     Moment::operands, scale_inverted, kQ},
    {"k_scale inverted", "1/s_k stands for s_k", "whether the tensor holds scales or descales",
     Moment::operands, scale_inverted, kK},
    {"v_scale inverted", "1/s_v stands for s_v", "whether the tensor holds scales or descales",
     Moment::operands, scale_inverted, kV},
    {"q_scale applied twice", "s_q^2 stands for s_q", kScaleIndex, Moment::operands, scale_twice,
     kQ},
    {"k_scale applied twice", "s_k^2 stands for s_k", kScaleIndex, Moment::operands, scale_twice,
     kK},
    {"v_scale applied twice", "s_v^2 stands for s_v", kEpilogue, Moment::operands, scale_twice, kV},
    {"q_scale of the next group", "group g reads scale g+1", kScaleIndex, Moment::operands,
     scale_of_next_group, kQ},
    {"k_scale of the next group", "group g reads scale g+1", kScaleIndex, Moment::operands,
     scale_of_next_group, kK},
    {"v_scale of the next group", "group g reads scale g+1", kScaleIndex, Moment::operands,
     scale_of_next_group, kV},
    {"q_scale of the first group", "all groups read scale 0", kScaleIndex, Moment::operands,
     scale_of_first_group, kQ},
    {"k_scale of the first group", "all groups read scale 0", kScaleIndex, Moment::operands,
     scale_of_first_group, kK},
    {"v_scale of the first group", "all groups read scale 0", kScaleIndex, Moment::operands,
     scale_of_first_group, kV},
    // scores
    {"softmax scale missing", "scores lack d^-1/2", kConstant, Moment::operands, constant_wrong,
     kNoRootD},
    {"softmax scale applied twice", "scores are multiplied by 1/d", kConstant, Moment::operands,
     constant_wrong, kRootDTwice},
    {"log2 e missing", "2^x of a score in natural units", kConstant, Moment::operands,
     constant_wrong, kNoLog2E},
    {"base-e exponent", "e^x of a score in log2 units: log2 e enters twice", kConstant,
     Moment::operands, constant_wrong, kLog2ETwice},
    // smoothing
    {"q's mean not put back", "scores lack what smoothing took out of Q",
     "the correction that smoothing Q needs", Moment::operands, q_mean_forgotten},
    {"k's mean not put back", "lse lacks what smoothing took out of K",
     "the correction of lse that smoothing K needs", Moment::operands, k_mean_forgotten},
    {"v's mean not put back", "O lacks what smoothing took out of V", kEpilogue, Moment::kernel,
     kernel_fault, fault(KernelFault::v_mean_forgotten)},
    {"q not rotated", "K is rotated, Q is not", "the Hadamard rotation of both operands",
     Moment::recipe, rotated_on_one_side, kQ},
    {"k not rotated", "Q is rotated, K is not", "the Hadamard rotation of both operands",
     Moment::recipe, rotated_on_one_side, kK},
    // softmax and P V
    {"stale maximum", "P uses the maximum from before its block", kRescale, Moment::kernel,
     kernel_fault, fault(KernelFault::stale_maximum)},
    {"o not rescaled", "O misses alpha", kRescale, Moment::kernel, kernel_fault,
     fault(KernelFault::o_not_rescaled)},
    {"l not rescaled", "the row sum misses alpha", kRescale, Moment::kernel, kernel_fault,
     fault(KernelFault::l_not_rescaled)},
    {"alpha after the product", "O = (O + T) * alpha", kRescale, Moment::kernel, kernel_fault,
     fault(KernelFault::alpha_after_product)},
    {"row sum of one lane", "l is not added up over the four threads of a row",
     "the shuffles that reduce l over a quad", Moment::kernel, kernel_fault,
     fault(KernelFault::l_of_one_lane)},
    {"last ragged block unmasked", "lanes behind a short block count as keys of zeros",
     "the predicate of the last block of keys", Moment::kernel, kernel_fault,
     fault(KernelFault::zero_keys_counted)},
    {"last keys left out", "P V misses the last k-group of each block",
     "the loop over the keys of a block", Moment::kernel, kernel_fault,
     fault(KernelFault::last_group_left_out)},
    {"o kept in the output's format", "O is rounded to the output's format after each block",
     "the type of the accumulator between blocks", Moment::kernel, kernel_fault,
     fault(KernelFault::o_kept_in_output_format)},
    // finish
    {"not divided by l", "O is not normalised", kEpilogue, Moment::kernel, kernel_fault,
     fault(KernelFault::not_normalised)},
    {"multiplier not divided out", "O still carries p.multiplier", kEpilogue, Moment::kernel,
     kernel_fault, fault(KernelFault::multiplier_kept)},
    {"output rounded toward zero", "the last cast truncates", kEpilogue, Moment::kernel,
     kernel_fault, fault(KernelFault::output_toward_zero)},
    {"output rounded through f16", "the output passes f16 on its way", kEpilogue, Moment::kernel,
     kernel_fault, fault(KernelFault::output_through_f16)},
};

}  // namespace

std::span<const Mistake> mistakes() { return kMistakes; }

std::vector<MistakeName> known_mistakes() {
  std::vector<MistakeName> names;
  for (const Mistake& mistake : kMistakes)
    names.push_back({mistake.name, mistake.meaning, mistake.look_for});
  return names;
}

}  // namespace karat::golden
