// Mistakes of backward kernels that no recipe can mean. They happen behind a right forward.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "actions.hpp"
#include "diagnose/backward_trial.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/operations/cast.hpp"

namespace karat::golden {
namespace {

bool leave_delta_out(Trial& trial, int) {
  trial.backward->delta_is_zero = true;
  return true;
}

/// `which` 0 dq, 1 dk, 2 both; times 0 or 2.
template <int kRoots>
bool scale_often(Trial& trial, int which) {
  attention::BackwardErrors& errors = trial.backward->errors;
  if (which != 1) errors.dq_roots = kRoots;
  if (which != 0) errors.dk_roots = kRoots;
  return true;
}

bool keep_p_multiplier_in_lse(Trial& trial, int) {
  const recipe::P& p = trial.recipe.p;
  if (p.multiplier == 1) return false;
  const bool log2 = trial.recipe.softmax.lse == recipe::Lse::log2;
  const auto more = static_cast<float>(log2 ? std::log2(p.multiplier) : std::log(p.multiplier));
  for (auto& rows : trial.backward->lse)
    for (float& lse : rows) lse += more;
  return true;
}

/// Pairs of every block that the forward visits.
class WholeBlocks final : public mask::Mask {
 public:
  WholeBlocks(const layout::Layout& of, const mask::BlockMap& blocks) : of_(of), blocks_(blocks) {}
  std::int64_t queries() const override { return of_.mask->queries(); }
  std::int64_t keys() const override { return of_.mask->keys(); }
  mask::Cover cover(mask::Range queries, mask::Range keys) const override {
    std::int64_t kept = 0;
    for (std::int64_t q = queries.begin; q < queries.end; ++q)
      for (std::int64_t k = keys.begin; k < keys.end; ++k) kept += keeps(q, k);
    if (kept == 0) return mask::Cover::none;
    return kept == queries.size() * keys.size() ? mask::Cover::full : mask::Cover::partial;
  }
  bool keeps(std::int64_t query, std::int64_t key) const override {
    if (of_.order.token_at[query] < 0 || of_.key_order.token_at[key] < 0) return false;
    const auto block_at = [](const std::vector<mask::Range>& blocks, std::int64_t at) {
      return std::ranges::upper_bound(blocks, at, {}, &mask::Range::begin) - blocks.begin() - 1;
    };
    const auto& row = blocks_.rows[block_at(blocks_.query_blocks, query)];
    const auto wanted = block_at(blocks_.key_blocks, key);
    return std::ranges::any_of(row, [&](const auto& e) { return e.key_block == wanted; });
  }
  std::int64_t kept_pairs() const override { return 0; }  // nobody asks a backward

 private:
  const layout::Layout& of_;
  mask::BlockMap blocks_;
};

bool keep_whole_blocks(Trial& trial, int) {
  const layout::Layout& from = *trial.base.layout;
  auto changed = std::make_shared<layout::Layout>(layout::Layout{
      .grid = from.grid,
      .channels = from.channels,
      .order = from.order,
      .key_order = from.key_order,
      .mask = std::make_unique<WholeBlocks>(from, attention::backward_blocks(trial.recipe, from)),
      .blocks = from.blocks,
      .q_groups = from.q_groups,
      .k_groups = from.k_groups,
      .v_groups = from.v_groups});
  trial.backward->layout = std::move(changed);
  return true;
}

/// P of dV is masked, what dS is made of is not.
bool keep_unmasked_ds(Trial& trial, int which) {
  trial.backward->right = {TokenStage::dv, TokenStage::delta};
  return keep_whole_blocks(trial, which);
}

/// k times d^-1/2 in BF16: scores take it with log2 e alone, dQ without d^-1/2 behind the sum.
bool fold_scale_into_k(Trial& trial, int) {
  const recipe::Recipe& recipe = trial.recipe;
  const bool reads_codes = recipe.backward.scores == recipe::BackwardScores::forward &&
                           quant::has_scale(recipe.k.format);
  if (reads_codes || recipe.backward.k == recipe::Source::input ||
      recipe.backward.softmax_scale == recipe::SoftmaxScale::ds)
    return false;
  BackwardTrial& changed = *trial.backward;
  changed.operands = changed.base.operands;
  const double root = 1 / std::sqrt(static_cast<double>(trial.base.layout->channels));
  for (attention::QuantisedHead& head : changed.operands) {
    quant::Quantised& k = head.k;
    for (std::size_t e = 0; e < k.values.size(); ++e)
      k.values[e] *= k.scale(e / k.channels, e % k.channels);
    attention::cast(k.values, numerics::FormatId::bf16,
                    quant::cast_policy(numerics::FormatId::bf16));
    for (float& value : k.values) value *= static_cast<float>(root);
    attention::cast(k.values, numerics::FormatId::bf16,
                    quant::cast_policy(numerics::FormatId::bf16));
    k.format = numerics::FormatId::bf16;
    k.codes.clear();
    k.scales.clear();
  }
  changed.errors.score_factor = 1 / root;
  changed.errors.dq_roots = 0;
  return true;
}

/// `which` 0 log2 e, 1 d^-1/2.
bool leave_constant_out_of_scores(Trial& trial, int which) {
  const double root = 1 / std::sqrt(static_cast<double>(trial.base.layout->channels));
  trial.backward->errors.score_factor = which == 0 ? std::numbers::ln2 : 1 / root;
  return true;
}

/// `which`: an operand whose codes the backward takes for values.
bool leave_scale_out(Trial& trial, int which) {
  BackwardTrial& changed = *trial.backward;
  changed.operands = changed.base.operands;
  for (attention::QuantisedHead& head : changed.operands) {
    quant::Quantised& x = which == kQ ? head.q : which == kK ? head.k : head.v;
    if (x.scales.empty()) return false;
    std::ranges::fill(x.scales, 1.0f);
  }
  return true;
}

/// L of an unnormalised P: the row's maximum.
bool leave_row_sum_out_of_lse(Trial& trial, int) {
  const bool log2 = trial.recipe.softmax.lse == recipe::Lse::log2;
  BackwardTrial& changed = *trial.backward;
  for (std::size_t h = 0; h < changed.lse.size(); ++h)
    for (std::size_t i = 0; i < changed.lse[h].size(); ++i)
      if (std::isfinite(changed.lse[h][i]))
        changed.lse[h][i] = changed.base.m[h][i] * (log2 ? 1.0f : std::numbers::ln2_v<float>);
  return true;
}

/// A short query block's last row stands for every row that the block lacks: dO of that row counts
/// so often in dV, and in dS, which is linear in it. dQ is stored once.
bool count_rows_of_short_blocks(Trial& trial, int) {
  const layout::Layout& layout = *trial.base.layout;
  const int chosen = trial.recipe.backward.block_q;
  const std::int64_t whole = chosen > 0 ? chosen : trial.recipe.block.q;
  BackwardTrial& changed = *trial.backward;
  const std::size_t d = layout.channels;
  bool any = false;
  for (const video::Range block : attention::backward_blocks(trial.recipe, layout).query_blocks) {
    const std::int64_t lacking = whole - block.size();
    const std::int32_t token = layout.order.token_at[block.end - 1];
    if (lacking <= 0 || token < 0) continue;
    any = true;
    for (auto& rows : changed.d_o)
      for (std::size_t j = 0; j < d; ++j) rows[token * d + j] *= static_cast<float>(1 + lacking);
  }
  changed.right = {TokenStage::dq, TokenStage::delta};
  return any;
}

/// V coded once more with its scales along another axis, for the backward alone.
bool code_v_along(Trial& trial, int which) {
  const auto group = static_cast<quant::Group>(which);
  recipe::Recipe recipe = trial.base.recipe;
  if (recipe.v.group == group || !quant::has_scale(recipe.v.format) || trial.base.codes)
    return false;
  recipe.v.group = group;
  BackwardTrial& changed = *trial.backward;
  changed.operands = changed.base.operands;
  for (std::size_t h = 0; h < changed.operands.size(); ++h) {
    const attention::HeadInput values = changed.base.values[h].view();
    const layout::Layout regrouped =
        cases::head_layout(recipe, trial.base.inputs->setting(), trial.base.golden.mask(),
                           trial.base.batch, trial.base.head, &values, 1);
    changed.operands[h].v =
        attention::quantise_head(recipe, regrouped, values, numerics::Path::fast).v;
  }
  return true;
}

bool leave_last_head_out(Trial& trial, int) {
  BackwardTrial& changed = *trial.backward;
  if (changed.d_o.size() < 2 || changed.base.looked_at + 1 == changed.d_o.size()) return false;
  std::ranges::fill(changed.d_o.back(), 0.0f);
  return true;
}

bool exchange_gradients(Trial& trial, int) {
  trial.backward->exchange_dk_and_dv = true;
  return true;
}

constexpr std::string_view kBackwardDescale = "the descale factors of the backward's operands";
constexpr std::string_view kRoot = "the factor d^-1/2 behind the sums of dQ and dK";
constexpr std::string_view kVAxis =
    "which V the backward dequantises: codes and scales must be the forward's";
constexpr auto along(quant::Group group) { return static_cast<int>(group); }

constexpr Mistake kBackwardMistakes[] = {
    {"delta left out", "dS = P dP", "the pass that sums o * do before the loop", Moment::backward,
     leave_delta_out},
    {"softmax scale missing in dq", "dQ lacks d^-1/2", kRoot, Moment::backward, scale_often<0>, 0},
    {"softmax scale missing in dk", "dK lacks d^-1/2", kRoot, Moment::backward, scale_often<0>, 1},
    {"softmax scale missing in dq and dk", "both lack d^-1/2", kRoot, Moment::backward,
     scale_often<0>, 2},
    {"softmax scale twice in dq", "dQ is multiplied by 1/d", kRoot, Moment::backward,
     scale_often<2>, 0},
    {"softmax scale twice in dk", "dK is multiplied by 1/d", kRoot, Moment::backward,
     scale_often<2>, 1},
    {"softmax scale twice in dq and dk", "both are multiplied by 1/d", kRoot, Moment::backward,
     scale_often<2>, 2},
    {"P's multiplier kept in lse", "P is divided by its multiplier",
     "what the forward stores as lse: log l without the multiplier of P", Moment::backward,
     keep_p_multiplier_in_lse},
    {"backward not masked inside blocks", "every pair of a visited block has a P and a dS",
     "the mask in the backward: its tiles and blocks may be others than the forward's",
     Moment::backward, keep_whole_blocks},
    {"dS not masked inside blocks", "pairs that the mask drops have no P in dV, but a dS",
     "the mask in the backward: it has to be on dS too, since dP - delta is not 0 there",
     Moment::backward, keep_unmasked_ds},
    {"softmax scale folded into k in bf16", "scores and dQ read RN(k d^-1/2)",
     "where the softmax scale enters: in FP32 behind the product, not in a BF16 operand",
     Moment::backward, fold_scale_into_k},
    {"log2 e missing in the recomputed scores", "P is 2^(s ln 2 - L)",
     "the constant of the recomputed scores", Moment::backward, leave_constant_out_of_scores, 0},
    {"softmax scale missing in the recomputed scores", "P is 2^(q k log2 e - L)",
     "the constant of the recomputed scores", Moment::backward, leave_constant_out_of_scores, 1},
    {"backward's q without its scale", "codes of q are taken for values", kBackwardDescale,
     Moment::backward, leave_scale_out, kQ},
    {"backward's k without its scale", "codes of k are taken for values", kBackwardDescale,
     Moment::backward, leave_scale_out, kK},
    {"backward's v without its scale", "codes of v are taken for values", kBackwardDescale,
     Moment::backward, leave_scale_out, kV},
    {"row sum left out of lse", "P is not divided by the row sum",
     "what the forward stores as lse: the maximum and log l", Moment::backward,
     leave_row_sum_out_of_lse},
    {"rows of short blocks counted",
     "dK and dV count a short query block's last row once for every row that it lacks",
     "the bound of the loop over query rows: rows behind the last one read that one again",
     Moment::backward, count_rows_of_short_blocks},
    {"backward's v coded by channel", "dP reads V with one scale a channel", kVAxis,
     Moment::backward, code_v_along, along(quant::Group::channel)},
    {"backward's v coded by token", "dP reads V with one scale a token", kVAxis, Moment::backward,
     code_v_along, along(quant::Group::token)},
    {"backward's v coded by tile", "dP reads V with one scale a tile", kVAxis, Moment::backward,
     code_v_along, along(quant::Group::tile)},
    {"backward's v coded as a whole", "dP reads V with one scale", kVAxis, Moment::backward,
     code_v_along, along(quant::Group::tensor)},
    {"last query head left out of dk and dv", "the sum over a group of heads ends early",
     "the loop over the query heads that share k and v", Moment::backward, leave_last_head_out},
    {"dk and dv exchanged", "each is stored where the other belongs", "the two stores",
     Moment::backward, exchange_gradients},
};

}  // namespace

std::span<const Mistake> backward_mistakes() { return kBackwardMistakes; }

}  // namespace karat::golden
