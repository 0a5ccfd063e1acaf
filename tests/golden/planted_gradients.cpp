// The list, and the kernels.
#include "planted_gradients.hpp"

#include <cmath>
#include <numbers>

#include "karat/attention/attend.hpp"
#include "karat/attention/operations/cast.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/stages.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/recipe/effect.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::golden {
namespace {

using Head = cases::BackwardRun::Head;
using Mask = PlantedGradient::Mask;
using Where = PlantedGradient::Where;
using layout::Layout;
using numerics::FormatId;
using recipe::Recipe;

std::function<void(Recipe&)> set(const char* field, recipe::Value value) {
  return [=](Recipe& r) { r = recipe::edited(r, field, value); };
}

void v_by_token(Head& head, const Recipe& golden, const Layout& layout) {
  Recipe recipe = golden;
  recipe.v.group = quant::Group::token;
  const Layout regrouped =
      layout::make_layout(recipe, {.grid = layout.grid, .channels = layout.channels});
  head.operands.v =
      attention::quantise_head(recipe, regrouped, head.values.view(), numerics::Path::scalar).v;
}
void no_delta(Head& head, const Recipe&, const Layout&) {
  std::ranges::fill(head.o_unquantised_p, 0.0f);
  std::ranges::fill(head.o, 0.0f);
}
void multiplier_in_lse(Head& head, const Recipe&, const Layout&) {
  for (float& lse : head.lse) lse += static_cast<float>(std::log(448.0f));
}
void descaled_once(quant::Quantised& x) {
  for (float& scale : x.scales) scale = 1;
}
void v_without_scale(Head& head, const Recipe&, const Layout&) { descaled_once(head.operands.v); }
void k_without_scale(Head& head, const Recipe&, const Layout&) { descaled_once(head.operands.k); }

float bf16(float x) {
  return numerics::decode(numerics::encode(x, FormatId::bf16, numerics::Policy{}), FormatId::bf16);
}
/// K' = RN(K d^-1/2); the errors leave the scale out elsewhere.
void scale_in_k(Head& head, const Recipe&, const Layout& layout) {
  quant::Quantised& k = head.operands.k;
  const auto root = static_cast<float>(1 / std::sqrt(static_cast<double>(layout.channels)));
  for (std::size_t i = 0; i < k.rows; ++i)
    for (std::size_t j = 0; j < k.channels; ++j) {
      float& value = k.values[i * k.channels + j];
      value = bf16(bf16(value * k.scale(i, j)) * root);
    }
  k.format = FormatId::bf16;
  k.codes = {};
  k.scales = {};
}
/// Query rows behind the end of a block of 16 read the block's last one again.
void last_row_again(Head& head, const Recipe& recipe, const Layout& layout) {
  for (const video::Range block : attention::backward_blocks(recipe, layout).query_blocks) {
    const std::int32_t token = layout.order.token_at[block.end - 1];
    const std::int64_t times = 1 + recipe.block.q - block.size();
    for (std::size_t j = 0; j < layout.channels; ++j)
      head.d_o[token * layout.channels + j] *= static_cast<float>(times);
  }
}
/// P without its row sum: exp(s - m).
void maximum_alone(Head& head, const Recipe& recipe, const Layout& layout) {
  const attention::HeadResult forward =
      attention::attend(recipe, layout, head.operands, {.threads = 1});
  const float unit = recipe.softmax.lse == recipe::Lse::log2 ? 1 : std::numbers::ln2_v<float>;
  for (std::size_t i = 0; i < head.lse.size(); ++i) head.lse[i] = forward.m[i] * unit;
}

/// A window that cuts the backward's blocks even on small grids.
void own_tile_alone(Recipe& recipe) { recipe.mask.window = {1, 1, 1}; }

/// Keeps a pair where the blocks of its query and key hold a kept one.
class WholeBlocks final : public mask::Mask {
 public:
  WholeBlocks(const mask::Mask& from, mask::BlockMap blocks)
      : queries_(from.queries()), keys_(from.keys()), blocks_(std::move(blocks)) {
    visits_.resize(blocks_.query_blocks.size() * blocks_.key_blocks.size());
    for (std::size_t i = 0; i < blocks_.rows.size(); ++i)
      for (const auto& entry : blocks_.rows[i])
        visits_[i * blocks_.key_blocks.size() + entry.key_block] = 1;
  }
  std::int64_t queries() const override { return queries_; }
  std::int64_t keys() const override { return keys_; }
  bool keeps(std::int64_t q, std::int64_t k) const override {
    const auto find = [](const std::vector<mask::Range>& blocks, std::int64_t at) {
      std::size_t block = 0;
      while (blocks[block].end <= at) ++block;
      return block;
    };
    return visits_[find(blocks_.query_blocks, q) * blocks_.key_blocks.size() +
                   find(blocks_.key_blocks, k)] != 0;
  }
  mask::Cover cover(mask::Range q, mask::Range k) const override {
    return keeps(q.begin, k.begin) ? mask::Cover::full : mask::Cover::none;  // of its own blocks
  }
  std::int64_t kept_pairs() const override { return 0; }

 private:
  std::int64_t queries_, keys_;
  mask::BlockMap blocks_;
  std::vector<char> visits_;
};

std::shared_ptr<Layout> with_whole_blocks(const Recipe& recipe, const Layout& from) {
  auto blocks = attention::backward_blocks(recipe, from);
  return std::make_shared<Layout>(
      Layout{.grid = from.grid,
             .channels = from.channels,
             .order = from.order,
             .key_order = from.key_order,
             .mask = std::make_unique<WholeBlocks>(*from.mask, std::move(blocks)),
             .blocks = from.blocks,
             .q_groups = from.q_groups,
             .k_groups = from.k_groups,
             .v_groups = from.v_groups});
}

}  // namespace

const std::vector<PlantedGradient>& planted_gradients() {
  static const std::vector<PlantedGradient> list = {
      // seen in the field
      {Where::field, "backward.delta unquantised_p -> output", "fps_qat_fp8",
       set("backward.delta", "output")},
      {.where = Where::field,
       .name = "softmax scale folded into k in bf16",
       .preset = "fps_ste_bf16",
       .errors = {.dq_roots = 0, .score_factor = std::sqrt(32.0)},
       .head = scale_in_k},
      {.where = Where::field,
       .name = "softmax scale folded into k in bf16",
       .preset = "fa3_bf16",
       .errors = {.dq_roots = 0, .score_factor = std::sqrt(32.0)},
       .head = scale_in_k},
      {.where = Where::field,
       .name = "backward not masked inside blocks",
       .preset = "flex_bf16",
       .mask = Mask::whole_blocks,
       .golden = own_tile_alone},
      {.where = Where::field,
       .name = "softmax scale missing in dq",
       .preset = "fps_qat_fp8",
       .errors = {.dq_roots = 0}},
      {.where = Where::field,
       .name = "softmax scale twice in dq",
       .preset = "fps_qat_fp8",
       .errors = {.dq_roots = 2}},
      {.where = Where::field,
       .name = "backward's v coded by token",
       .preset = "fps_qat_fp8",
       .head = v_by_token},
      {Where::field, "softmax.lse natural -> log2", "fps_qat_fp8", set("softmax.lse", "log2")},
      {.where = Where::field,
       .name = "dS not masked inside blocks",
       .preset = "flex_bf16",
       .mask = Mask::whole_blocks_in_ds,
       .golden = own_tile_alone},
      {.where = Where::field,
       .name = "rows of short blocks counted",
       .preset = "fps_qat_fp8",
       .head = last_row_again,
       .keeps_dq = true,
       .ragged = true},
      {Where::field, "backward.q dequantised -> input, backward.k dequantised -> input",
       "fps_ste_bf16", [](Recipe& r) { r.backward.q = r.backward.k = recipe::Source::input; }},
      {.where = Where::field,
       .name = "backward.smooth_term added -> omitted",
       .preset = "fps_qat_fp8",
       .edit = set("backward.smooth_term", "omitted"),
       .golden = set("k.smooth", "mean")},
      {Where::field, "backward.ds_format e5m2 -> e4m3", "cudnn_fp8_hopper",
       set("backward.ds_format", "e4m3")},
      // one wrong operand format, scale and order in each product
      {Where::s, "backward.q dequantised -> input", "fps_ste_bf16", set("backward.q", "input")},
      {.where = Where::s,
       .name = "log2 e missing in the recomputed scores",
       .preset = "fps_qat_fp8",
       .errors = {.score_factor = std::numbers::ln2}},
      {.where = Where::s,
       .name = "backward.s hopper.wgmma.bf16.f32 -> f32.fma",
       .preset = "fps_ste_bf16",
       .edit = set("backward.s", "f32.fma"),
       .golden = in_f32},
      {Where::dv, "backward.p_format e4m3 -> bf16", "fps_qat_fp8",
       set("backward.p_format", "bf16")},
      {Where::dv, "backward.p_multiplier 448 -> 256", "fps_qat_fp8",
       set("backward.p_multiplier", 256.0)},
      {.where = Where::dv,
       .name = "backward.query_order ascending -> descending",
       .preset = "fps_ste_bf16",
       .edit = set("backward.query_order", "descending"),
       .golden = in_f32},
      {Where::dp, "backward.v dequantised -> input", "fps_ste_bf16", set("backward.v", "input")},
      {.where = Where::dp,
       .name = "backward's v without its scale",
       .preset = "fps_qat_fp8",
       .head = v_without_scale},
      {.where = Where::dp,
       .name = "backward.dp hopper.wgmma.bf16.f32 -> f32.fma",
       .preset = "fps_ste_bf16",
       .edit = set("backward.dp", "f32.fma"),
       .golden = in_f32},
      {Where::dq, "backward.k dequantised -> input", "fps_qat_fp8", set("backward.k", "input")},
      {Where::dq, "backward.dq_multiplier 1 -> 2", "fps_ste_bf16",
       set("backward.dq_multiplier", 2.0)},
      {Where::dq, "backward.key_order ascending -> descending", "fps_qat_fp8",
       set("backward.key_order", "descending")},
      {Where::dk, "backward.ds_format bf16 -> f16", "fps_qat_fp8",
       set("backward.ds_format", "f16")},
      {.where = Where::dk,
       .name = "softmax scale missing in dk",
       .preset = "fps_ste_bf16",
       .errors = {.dk_roots = 0}},
      {Where::dk, "backward.promote never -> block", "fps_ste_bf16",
       set("backward.promote", "block")},
      // others
      {.name = "softmax scale twice in dq and dk",
       .preset = "fps_ste_bf16",
       .errors = {.dq_roots = 2, .dk_roots = 2}},
      {.name = "delta left out", .preset = "fps_qat_fp8", .head = no_delta},
      {.name = "P's multiplier kept in lse", .preset = "fps_qat_fp8", .head = multiplier_in_lse},
      {.name = "row sum left out of lse", .preset = "fps_qat_fp8", .head = maximum_alone},
      {.name = "softmax scale missing in the recomputed scores",
       .preset = "fps_ste_bf16",
       .errors = {.score_factor = std::sqrt(32.0)}},
      {.name = "backward's k without its scale", .preset = "fps_ste_bf16", .head = k_without_scale},
      {.name = "dk and dv exchanged", .preset = "fa3_bf16", .exchanged = true},
      {.name = "backward.softmax_scale end -> ds",
       .preset = "fps_ste_bf16",
       .edit = set("backward.softmax_scale", "ds")},
      {.name = "backward.dv_multiplier 1 -> 0.5",
       .preset = "fps_ste_bf16",
       .edit = set("backward.dv_multiplier", 0.5)},
      {.name = "backward.do_multiplier 1024 -> 2048",
       .preset = "cudnn_fp8_hopper",
       .edit = set("backward.do_multiplier", 2048.0)},
      {.name = "backward.exponent fused -> separate",
       .preset = "fa3_bf16",
       .edit = set("backward.exponent", "separate")},
      {.name = "backward.delta_sum sequential -> pairwise",
       .preset = "fps_ste_bf16",
       .edit = set("backward.delta_sum", "pairwise")},
      {.name = "backward.output bf16 -> f16",
       .preset = "fps_ste_bf16",
       .edit = set("backward.output", "f16")},
      // presets whose P or dS have scales of their own within a visit; added later
      {Where::field, "backward.delta unquantised_p -> output", "attn_qat_nvfp4",
       set("backward.delta", "output")},
      {Where::field, "backward.smooth_term added -> omitted", "sage_bwd_int8",
       set("backward.smooth_term", "omitted")},
      {Where::dp, "backward.do_in_dp input -> codes", "sage_bwd_int8",
       set("backward.do_in_dp", "codes")},
      {Where::dv, "backward.p_group channels_16 -> block", "attn_qat_nvfp4",
       set("backward.p_group", "block")},
      {Where::dv, "backward.p_rounding nearest_even -> nearest_away", "attn_qat_nvfp4",
       set("backward.p_rounding", "nearest_away")},
      {Where::dv, "backward.do_rounding nearest_away -> toward_zero", "sage_bwd_int8",
       set("backward.do_rounding", "toward_zero")},
      {Where::dp, "backward.v dequantised -> input", "attn_qat_nvfp4", set("backward.v", "input")},
      {Where::dp, "backward.v input -> dequantised", "sage_bwd_int8",
       set("backward.v", "dequantised")},
      {Where::dq, "backward.k dequantised -> input", "attn_qat_nvfp4", set("backward.k", "input")},
      {.where = Where::dq,
       .name = "softmax scale missing in dq",
       .preset = "sage_bwd_int8",
       .errors = {.dq_roots = 0}},
      {Where::dk, "backward.q dequantised -> input", "attn_qat_nvfp4", set("backward.q", "input")},
      {Where::dk, "backward.ds_rounding nearest_away -> toward_zero", "sage_bwd_int8",
       set("backward.ds_rounding", "toward_zero")},
      {.where = Where::dk,
       .name = "softmax scale missing in dk",
       .preset = "sage_bwd_int8",
       .errors = {.dk_roots = 0}},
      {.name = "delta left out", .preset = "sage_bwd_int8", .head = no_delta},
      {.name = "row sum left out of lse", .preset = "attn_qat_nvfp4", .head = maximum_alone},
  };
  return list;
}

recipe::Recipe small_backward(std::string_view preset) {
  Recipe recipe = recipe::preset(preset);
  if (recipe.mask.kind == recipe::MaskKind::window || recipe.mask.tile.volume() > 1)
    recipe.mask.tile = {2, 4, 4};
  for (quant::Rule* rule : {&recipe.q, &recipe.k, &recipe.v}) {
    rule->tile = {2, 4, 4};
    rule->rows = 16;
  }
  recipe.block.q = 16;
  recipe.block.k = 32;
  if (recipe.block.listed > 0) recipe.block.listed = 32;
  if (recipe.pv.promote_every > 0) recipe.pv.promote_every = 32;
  recipe::Backward& b = recipe.backward;
  if (b.block_q > 0) b.block_q = 24;  // no divisor of a tile: some blocks are cut by a window
  if (b.block_k > 0) b.block_k = 24;
  return recipe;
}

void in_f32(Recipe& recipe) {
  recipe::Backward& b = recipe.backward;
  b.output = b.p.format = b.ds.format = FormatId::f32;
  b.dv = b.dk = b.dq = "f32.fma";
  recipe::reset_without_effect(recipe);
}

FormatId stored_format(const GoldenFile& golden, const std::string& stage) {
  const FormatId format = golden.format(stage);
  return quant::has_scale(format) ? format : FormatId::f32;
}

files::Tensors gradients_with(const GoldenFile& golden, const PlantedGradient& planted) {
  const cases::Case of = golden.opened_case();
  Recipe edited = of.recipe;
  if (planted.edit) planted.edit(edited);
  files::Tensors all;
  const auto rows = [&](const char* name, std::size_t head, cases::Extents extents) {
    return golden.has(name) ? golden.values(name, extents, 0, head) : std::vector<float>{};
  };
  cases::for_each_head(
      of, {.threads = 2, .needs = cases::HeadNeeds::both}, [&](cases::HeadAtWork& work) {
        Head head{.operands = std::move(work.operands),
                  .values = of.inputs->values(0, work.head, 1),
                  .o = rows("o", work.head, cases::Extents::matrix),
                  .lse = rows("lse", work.head, cases::Extents::vector),
                  .d_o = of.inputs->output_gradient(0, work.head),
                  .o_unquantised_p = rows("o_unquantised_p", work.head, cases::Extents::matrix)};
        const auto run = [&](const Head& by, const Layout& layout, bool errs) {
          const attention::BackwardHead given{.head = &by.operands,
                                              .input = by.values.view(),
                                              .o = by.o,
                                              .lse = by.lse,
                                              .d_o = by.d_o,
                                              .o_unquantised_p = by.o_unquantised_p};
          attention::BackwardOptions options{.threads = 2};
          if (errs) options.errors = planted.errors;
          return attention::attend_backward(edited, layout, {&given, 1}, options);
        };
        Head wrong = head;
        if (planted.head) planted.head(wrong, of.recipe, work.layout);
        const auto whole =
            planted.mask == Mask::right ? nullptr : with_whole_blocks(edited, work.layout);
        attention::BackwardResult made = run(wrong, whole ? *whole : work.layout, true);
        if (planted.mask == Mask::whole_blocks_in_ds || planted.keeps_dq) {
          attention::BackwardResult right = run(head, work.layout, false);
          made.delta = std::move(right.delta);
          if (planted.keeps_dq) made.dq = std::move(right.dq);
          if (planted.mask == Mask::whole_blocks_in_ds) made.dv = std::move(right.dv);
        }
        if (planted.exchanged) std::swap(made.dk, made.dv);
        const auto put = [&](const char* name, const std::vector<float>& x, files::Shape shape) {
          cases::append_head(all, name, 1, golden.shape().heads,
                             cases::encoded(x, stored_format(golden, name), std::move(shape)));
        };
        const files::Shape matrix{of.shape().tokens(), golden.shape().channels};
        put("delta", made.delta[0], {of.shape().tokens()});
        put("dq", made.dq[0], matrix);
        put("dk", made.dk, matrix);
        put("dv", made.dv, matrix);
      });
  return all;
}

}  // namespace karat::golden
