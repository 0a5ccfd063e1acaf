// Each mistake edits the recipe, the operands, the layout, the scores or the output.
#include "planted.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "diagnose/kernel.hpp"
#include "karat/attention/predict.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::golden {
namespace {

using numerics::FormatId;
using Output = std::optional<std::vector<float>>;
using Scales = std::vector<float>;

/// A kernel: what it runs, and what it gets wrong.
struct Kernel {
  explicit Kernel(const SampledHead& head)
      : recipe(head.recipe), layout(head.layout), operands(head.operands) {}

  recipe::Recipe recipe;
  std::shared_ptr<const layout::Layout> layout;
  std::shared_ptr<const attention::QuantisedHead> operands;
  std::optional<double> score_factor;
  KernelFaults faults;
  void (*on_scores)(attention::BlockTap&, const recipe::Recipe&) = nullptr;
};

constexpr std::size_t kMostBlocks = 6;  ///< where a wrong order scatters the rows over many

std::vector<int> blocks_with(const layout::Layout& layout, std::span<const std::int32_t> tokens) {
  std::map<int, int> count;
  const auto& blocks = layout.blocks.query_blocks;
  for (const std::int32_t token : tokens) {
    const std::int64_t at = layout.order.position_of[token];
    const auto behind = std::ranges::upper_bound(blocks, at, {}, &video::Range::begin);
    if (behind != blocks.begin() && at < (behind - 1)->end)
      ++count[static_cast<int>(behind - blocks.begin()) - 1];
  }
  std::vector<int> chosen;
  for (const auto& [block, tokens_in_it] : count) chosen.push_back(block);
  std::ranges::stable_sort(chosen, std::greater{}, [&](int block) { return count[block]; });
  chosen.resize(std::min(chosen.size(), kMostBlocks));
  std::ranges::sort(chosen);
  return chosen;
}

Output output_of(const SampledHead& head, const Kernel& kernel) {
  const bool own = !kernel.faults.empty() || kernel.on_scores != nullptr;
  if (own && !kernel_runs(kernel.recipe)) return std::nullopt;
  const layout::Layout& layout = *kernel.layout;
  attention::AttendOptions options{.threads = 2, .query_blocks = blocks_with(layout, head.rows)};
  if (own) options.tapped = options.query_blocks;
  options.score_factor = kernel.score_factor;
  attention::HeadResult made;
  try {
    made = attention::attend(kernel.recipe, layout, *kernel.operands, options);
  } catch (const Error&) {
    return std::nullopt;  // the edit has no meaning for this recipe
  }
  std::vector<float> o = head.golden.o;
  const std::size_t channels = layout.channels;
  for (const int block : options.query_blocks) {
    const video::Range queries = layout.blocks.query_blocks[block];
    for (std::int64_t at = queries.begin; at < queries.end; ++at)
      if (const std::int32_t token = layout.order.token_at[at]; token >= 0)
        std::copy_n(&made.o[token * channels], channels, &o[token * channels]);
  }
  for (attention::BlockTap& tap : made.taps) {
    if (kernel.on_scores != nullptr) kernel.on_scores(tap, kernel.recipe);
    const KernelRows rows = run_kernel(kernel.recipe, layout, *kernel.operands, tap, kernel.faults);
    for (std::int64_t i = 0; i < tap.queries.size(); ++i)
      if (const std::int32_t token = layout.order.token_at[tap.queries.begin + i]; token >= 0)
        std::copy_n(&rows.out[i * channels], channels, &o[token * channels]);
  }
  return o;
}

template <KernelFault kFault>
Output with_fault(const SampledHead& head) {
  Kernel kernel(head);
  kernel.faults = {kFault};
  return output_of(head, kernel);
}

/// The recipe edited; `Edit` returns whether it changed anything.
template <bool (*kEdit)(recipe::Recipe&)>
Output edited(const SampledHead& head) {
  Kernel kernel(head);
  if (!kEdit(kernel.recipe)) return std::nullopt;
  try {
    kernel.layout = std::make_shared<layout::Layout>(
        attention::layout_of_head(kernel.recipe, head.setting, head.values->view(), 2));
    kernel.operands = std::make_shared<attention::QuantisedHead>(attention::quantise_head(
        kernel.recipe, *kernel.layout, head.values->view(), numerics::Path::fast, 2));
  } catch (const Error&) {
    return std::nullopt;
  }
  return output_of(head, kernel);
}

/// The operands changed; nothing where none of them has scales.
template <bool (*kChange)(attention::QuantisedHead&)>
Output with_operands(const SampledHead& head) {
  auto operands = std::make_shared<attention::QuantisedHead>(*head.operands);
  if (!kChange(*operands)) return std::nullopt;
  Kernel kernel(head);
  kernel.operands = operands;
  return output_of(head, kernel);
}

template <float (*kMap)(float)>
bool all_scales(attention::QuantisedHead& head) {
  bool any = false;
  for (Scales* scales : {&head.q.scales, &head.k.scales, &head.v.scales})
    for (float& scale : *scales) {
      any = true;
      scale = kMap(scale);
    }
  return any;
}
float dropped(float) { return 1; }
float inverted(float scale) { return 1 / scale; }
float power_of_two(float scale) { return std::exp2(std::round(std::log2(scale))); }

bool rotate_by_one(Scales& scales) {
  if (scales.size() < 2) return false;
  std::rotate(scales.begin(), scales.begin() + 1, scales.end());
  return true;
}
bool k_scales_of_next_group(attention::QuantisedHead& head) { return rotate_by_one(head.k.scales); }
bool v_scales_of_next_group(attention::QuantisedHead& head) { return rotate_by_one(head.v.scales); }
bool scales_exchanged(attention::QuantisedHead& head) {
  if (head.q.scales.empty() || head.k.scales.empty()) return false;
  const Scales q = head.q.scales, k = head.k.scales;
  for (std::size_t g = 0; g < q.size(); ++g) head.q.scales[g] = k[g % k.size()];
  for (std::size_t g = 0; g < k.size(); ++g) head.k.scales[g] = q[g % q.size()];
  return true;
}

float rounded(float x, FormatId format, numerics::Policy policy = {}) {
  return numerics::decode(numerics::encode(x, format, policy), format);
}

/// Codes of x/s that was rounded to another format first.
template <FormatId kThrough>
Output cast_through(const SampledHead& head) {
  Kernel kernel(head);
  recipe::Recipe wide = head.recipe;
  for (quant::Rule* rule : {&wide.q, &wide.k, &wide.v}) rule->format = FormatId::f32;
  const attention::QuantisedHead exact =
      attention::quantise_head(wide, *head.layout, head.values->view(), numerics::Path::fast, 2);
  auto operands = std::make_shared<attention::QuantisedHead>(*head.operands);
  const auto recode = [](quant::Quantised& codes, const quant::Quantised& x,
                         const quant::Rule& rule) {
    if (codes.scales.empty()) return false;
    const numerics::Policy policy{.rounding = rule.rounding, .overflow = rule.overflow};
    for (std::size_t e = 0; e < codes.values.size(); ++e) {
      const float scale = codes.scale(e / codes.channels, e % codes.channels);
      codes.values[e] = rounded(rounded(x.values[e] / scale, kThrough), codes.format, policy);
    }
    return true;
  };
  bool any = recode(operands->q, exact.q, head.recipe.q);
  any |= recode(operands->k, exact.k, head.recipe.k);
  any |= recode(operands->v, exact.v, head.recipe.v);
  if (!any) return std::nullopt;
  kernel.operands = operands;
  return output_of(head, kernel);
}

Output softmax_scale_of_padded_head(const SampledHead& head) {
  Kernel kernel(head);
  kernel.score_factor = 1 / std::numbers::sqrt2;  // (2d)^-1/2 for d^-1/2
  return output_of(head, kernel);
}
Output log2_e_missing(const SampledHead& head) {
  Kernel kernel(head);
  kernel.score_factor = std::numbers::ln2;
  return output_of(head, kernel);
}

bool window_narrower(recipe::Recipe& recipe) {
  if (recipe.mask.kind != recipe::MaskKind::window || recipe.mask.window.w < 3) return false;
  recipe.mask.window.w -= 2;
  return true;
}
bool tile_axes_exchanged(recipe::Recipe& recipe) {
  const video::Extent3 before = recipe.mask.tile;
  if (before.volume() == 1 || before.t == before.w) return false;
  for (video::Extent3* tile : {&recipe.mask.tile, &recipe.q.tile, &recipe.k.tile, &recipe.v.tile})
    std::swap(tile->t, tile->w);
  return true;
}
bool lazy_rescale(recipe::Recipe& recipe) {
  recipe.softmax.rescale_threshold = recipe.softmax.rescale_threshold == 0 ? 4 : 0;
  return true;
}
bool masked_score_finite(recipe::Recipe& recipe) {
  recipe.softmax.masked_score = -5e4f;
  return true;
}
bool p_truncated(recipe::Recipe& recipe) {
  if (recipe.p.format == FormatId::f32) return false;
  recipe.p.rounding = numerics::Rounding::toward_zero;
  return true;
}
bool other_promotion(recipe::Recipe& recipe) {
  recipe.pv.promote_every = recipe.pv.promote_every == 0 ? 32 : 0;
  return true;
}
bool row_sum_of_codes(recipe::Recipe& recipe) {
  using recipe::RowSum;
  recipe.softmax.row_sum =
      recipe.softmax.row_sum == RowSum::unquantized ? RowSum::quantized : RowSum::unquantized;
  return true;
}

Output last_key_block_left_out(const SampledHead& head) {
  auto layout = std::make_shared<layout::Layout>(
      attention::layout_of_head(head.recipe, head.setting, head.values->view(), 2));
  bool any = false;
  for (auto& row : layout->blocks.rows) {
    if (row.size() < 2) continue;
    const auto last =
        std::ranges::max_element(row, {}, [](const auto& entry) { return entry.key_block; });
    row.erase(last);
    any = true;
  }
  if (!any) return std::nullopt;
  Kernel kernel(head);
  kernel.layout = layout;
  return output_of(head, kernel);
}

Output scores_in_bf16(const SampledHead& head) {
  Kernel kernel(head);
  kernel.on_scores = [](attention::BlockTap& tap, const recipe::Recipe& recipe) {
    if (recipe.softmax.rescale_threshold != 0) return;
    const auto rows = static_cast<std::size_t>(tap.queries.size());
    const std::size_t width = tap.key_position.size();
    for (float& s : tap.s)
      if (std::isfinite(s)) s = rounded(s, FormatId::bf16);
    std::vector<float> m(rows, -std::numeric_limits<float>::infinity());
    for (std::size_t visit = 0; visit < tap.key_block.size(); ++visit)
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::int64_t n = tap.column_begin[visit]; n < tap.column_begin[visit + 1]; ++n)
          m[i] = std::max(m[i], tap.s[i * width + n]);
        tap.m[visit * rows + i] = m[i];
      }
  };
  return output_of(head, kernel);
}

Output nan_in_one_row(const SampledHead& head) {
  std::vector<float> o = head.golden.o;
  const std::size_t channels = head.layout->channels;
  std::fill_n(&o[head.rows[head.rows.size() / 2] * channels], channels,
              std::numeric_limits<float>::quiet_NaN());
  return o;
}
Output channel_pairs_exchanged(const SampledHead& head) {
  std::vector<float> o = head.golden.o;
  for (const std::int32_t token : head.rows)
    for (std::size_t j = 0; j + 1 < head.layout->channels; j += 2)
      std::swap(o[token * head.layout->channels + j], o[token * head.layout->channels + j + 1]);
  return o;
}

constexpr PlantedMistake kPlanted[] = {
    {"operands cast through f16", cast_through<FormatId::f16>},
    {"operands cast through bf16", cast_through<FormatId::bf16>},
    {"scales dropped", with_operands<all_scales<dropped>>},
    {"scales inverted", with_operands<all_scales<inverted>>},
    {"scales rounded to powers of two", with_operands<all_scales<power_of_two>>},
    {"k_scale of the next group", with_operands<k_scales_of_next_group>},
    {"v_scale of the next group", with_operands<v_scales_of_next_group>},
    {"s_q and s_k exchanged", with_operands<scales_exchanged>},
    {"softmax scale of a padded head", softmax_scale_of_padded_head},
    {"log2 e missing", log2_e_missing},
    {"window a tile narrower on each side", edited<window_narrower>},
    {"tile axes exchanged", edited<tile_axes_exchanged>},
    {"last key block left out", last_key_block_left_out},
    {"masked score -5e4", edited<masked_score_finite>},
    {"scores rounded to bf16", scores_in_bf16},
    {"NaN in one row", nan_in_one_row},
    {"lazy rescaling", edited<lazy_rescale>},
    {"o not rescaled", with_fault<KernelFault::o_not_rescaled>},
    {"l not rescaled", with_fault<KernelFault::l_not_rescaled>},
    {"stale maximum", with_fault<KernelFault::stale_maximum>},
    {"alpha after the product", with_fault<KernelFault::alpha_after_product>},
    {"row sum of one lane", with_fault<KernelFault::l_of_one_lane>},
    {"last keys of a block left out", with_fault<KernelFault::last_group_left_out>},
    {"o kept in the output's format", with_fault<KernelFault::o_kept_in_output_format>},
    {"output rounded toward zero", with_fault<KernelFault::output_toward_zero>},
    {"output rounded through f16", with_fault<KernelFault::output_through_f16>},
    {"P rounded toward zero", edited<p_truncated>},
    {"promotion every 32 keys, or none", edited<other_promotion>},
    {"row sum of codes, or of P", edited<row_sum_of_codes>},
    {"v channel pairs exchanged", channel_pairs_exchanged},
};
static_assert(std::size(kPlanted) == 30);

}  // namespace

std::span<const PlantedMistake> planted_mistakes() { return kPlanted; }

}  // namespace karat::golden
