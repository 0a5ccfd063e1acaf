// Attributes say what a dataset means; values are raw codes, never converted by HDF5.
#include "case_writer.hpp"

#include <nlohmann/json.hpp>
#include <string>

#include "block_arrays.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/stages.hpp"
#include "karat/golden/make.hpp"
#include "karat/recipe/evidence.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"

namespace karat::golden {
namespace {

using files::DType;
using files::Shape;
using files::Tensor;
using numerics::FormatId;

files::Json extent_json(video::Extent3 extent) { return {extent.t, extent.h, extent.w}; }

std::vector<std::int64_t> wide(const std::vector<int>& values) {
  return {values.begin(), values.end()};
}

constexpr std::string_view kBoundText =
    "inclusive ends of what a correct kernel may write when exp2 is within 2 ulp; low and high "
    "terms "
    "are carried through the recipe's own roundings (docs/bounds.md)";

}  // namespace

CaseWriter::CaseWriter(files::Hdf5Writer& file, const cases::Case& of, const layout::Layout& layout,
                       const MakeOptions& options, const std::vector<int>& taps,
                       const std::vector<std::int32_t>& truth_rows)
    : case_(of),
      recipe_(of.recipe),
      layout_(&layout),
      inputs_(*of.inputs),
      writer_(file),
      batch_(of.shape().batch),
      heads_(of.shape().heads),
      group_(of.shape().group()),
      tokens_(of.shape().tokens()),
      channels_(of.shape().channels) {
  describe(options, taps);
  if (cases::layouts_of(of) == cases::Layouts::shared) {
    write_order("order");
    write_mask("mask");
  }
  if (of.mask) write_given(*of.mask);
  create_datasets(inputs_.coded());
  writer_.write("truth/rows", make_tensor(DType::i32, {truth_rows.size()}, truth_rows));
  for (const char* kind : {"dense", "sparse"}) {
    const std::string name = std::string("truth/") + kind;
    writer_.create(name + "_o", DType::f64, {batch_, heads_, truth_rows.size(), channels_});
    writer_.create(name + "_lse", DType::f64, {batch_, heads_, truth_rows.size()});
  }
  if (options.passes == Passes::forward_and_backward) create_backward(options);
  writer_.set_attributes(
      "truth", {{"of", std::string(inputs_.coded() ? "scale * code of the given operands"
                                                   : "the inputs, before quantisation")}});
}

void CaseWriter::describe(const MakeOptions& options, const std::vector<int>& taps) {
  const cases::InputShape& shape = inputs_.shape();
  files::Json text{{"recipe", recipe_.name},     {"grid", extent_json(shape.grid)},
                   {"batch", shape.batch},       {"heads", shape.heads},
                   {"channels", shape.channels}, {"seed", options.seed},
                   {"source", inputs_.source()}};
  if (!options.schedule.empty()) text["schedule"] = files::parse_json(options.schedule, "schedule");
  writer_.set_attributes(
      "",
      {{"version", std::string(KARAT_VERSION)},
       {"case", text.dump()},
       {"recipe", recipe::to_json(recipe_, recipe::JsonStyle::line)},
       {"grid", video::to_string(shape.grid)},
       {"seed", std::to_string(options.seed)},
       {"shape", std::vector<std::int64_t>{
                     static_cast<std::int64_t>(batch_), static_cast<std::int64_t>(heads_),
                     static_cast<std::int64_t>(tokens_), static_cast<std::int64_t>(channels_)}}});
  if (shape.text > 0) writer_.set_attributes("", {{"text", std::to_string(shape.text)}});
  writer_.group("stages");
  files::Attributes evidence;
  if (cases::layouts_of(case_) == cases::Layouts::shared && !taps.empty())
    evidence["tapped_query_blocks"] = wide(taps);
  for (const auto& [stage, name] :
       {std::pair{"qk", &recipe_.qk.instruction}, std::pair{"pv", &recipe_.pv.instruction}}) {
    const numerics::Instruction& instruction = numerics::instruction(*name);
    const std::string prefix = stage;
    evidence[prefix + "_instruction"] = *name;
    evidence[prefix + "_evidence"] =
        std::string(recipe::evidence_name(numerics::evidence(instruction)));
    evidence[prefix + "_evidence_note"] = std::string(numerics::evidence_note(instruction));
  }
  writer_.set_attributes("stages", evidence);
}

void CaseWriter::layout(std::size_t b, std::size_t h, const layout::Layout& layout,
                        const std::vector<int>& taps) {
  layout_ = &layout;
  const std::string head = "/" + std::to_string(b) + "/" + std::to_string(h);
  write_order("order" + head);
  write_mask("mask" + head);
  if (!taps.empty()) writer_.set_attributes("mask" + head, {{"tapped_query_blocks", wide(taps)}});
}

void CaseWriter::write_order(const std::string& group) {
  const auto write = [&](const std::string& name, const std::vector<std::int32_t>& values) {
    writer_.write(group + "/" + name, make_tensor(DType::i32, {values.size()}, values));
  };
  write("position_of_token", layout_->order.position_of);
  write("token_at_position", layout_->order.token_at);
  if (layout_->key_order.token_at == layout_->order.token_at) return;
  write("key_position_of_token", layout_->key_order.position_of);
  write("key_token_at_position", layout_->key_order.token_at);
}

void CaseWriter::write_mask(const std::string& group) {
  for (const auto& [name, tensor] : block_arrays(*layout_))
    writer_.write(group + "/" + name, tensor);
  writer_.set_attributes(
      group, {{"block_size", std::vector<std::int64_t>{recipe_.block.q, recipe_.block.k}},
              {"kept_pairs", layout_->mask->kept_pairs()},
              {"about", std::string("block i covers positions begin[i] to begin[i+1]; indices "
                                    "beyond each count are 0")}});
}

/// Blocks are read back by position unless the file says tokens.
void CaseWriter::write_given(const cases::GivenMask& mask) {
  for (const auto& [name, tensor] : mask.arrays()) writer_.write("mask/given/" + name, tensor);
  if (mask.has_blocks() && mask.reading().blocks == cases::MaskOrder::tokens)
    writer_.set_attributes(
        "", {{"mask_order", std::string(mask_order_name(cases::MaskOrder::tokens))}});
}

void CaseWriter::create_operand(const std::string& name, const quant::Rule& rule,
                                const quant::Grouping& groups) {
  const std::string stage = "stages/" + name;
  const std::size_t heads = name == "q" ? heads_ : heads_ / group_;
  writer_.create(stage + "_codes", cases::dtype_of(quant::entering_format(rule)),
                 {batch_, heads, tokens_, channels_});
  if (!quant::leaves_scales(rule)) return;
  writer_.create(stage + "_scale", DType::f32,
                 {batch_, heads, static_cast<std::size_t>(groups.count())});
  writer_.set_attributes(
      stage + "_scale",
      {{"group", std::get<std::string>(recipe::get(recipe_, name + ".group"))},
       {"tile", std::vector<std::int64_t>{rule.tile.t, rule.tile.h, rule.tile.w}},
       {"meaning", std::string("x = scale * code; tiles and tokens in row-major order")}});
}

void CaseWriter::create_datasets(bool coded) {
  const Shape matrix{batch_, heads_, tokens_, channels_};
  const Shape vector{batch_, heads_, tokens_};
  const Shape shared{batch_, heads_ / group_, tokens_, channels_};
  if (!coded)
    for (const char* name : {"inputs/q", "inputs/k", "inputs/v"})
      writer_.create(name, inputs_.dtype(), name == std::string_view("inputs/q") ? matrix : shared);
  create_operand("q", recipe_.q, layout_->q_groups);
  create_operand("k", recipe_.k, layout_->k_groups);
  create_operand("v", recipe_.v, layout_->v_groups);
  writer_.create("stages/o", cases::dtype_of(attention::output_format(recipe_)), matrix);
  if (recipe_.branch.kind != recipe::BranchKind::none)
    writer_.create("stages/branch", cases::dtype_of(recipe_.branch.format), matrix);
  for (const char* name : {"stages/m", "stages/l", "stages/lse"})
    writer_.create(name, DType::f32, vector);
  if (!bounds::leaves_freedom(recipe_)) return;
  for (const char* end : {"low", "high"}) {
    writer_.create(std::string("bound/o_") + end,
                   cases::dtype_of(attention::output_format(recipe_)), matrix);
    for (const char* stage : {"l_", "lse_"})
      writer_.create("bound/" + std::string(stage) + end, DType::f32, vector);
  }
  writer_.set_attributes("bound",
                         {{"about", std::string(kBoundText)}, {"exp2_ulp", std::int64_t{2}}});
}

void CaseWriter::create_backward(const MakeOptions& options) {
  const DType format = cases::dtype_of(recipe_.backward.output);
  const std::size_t kv_heads = heads_ / group_;
  gradient_rows_ = golden::gradient_rows(tokens_, options.seed);
  const std::size_t rows = gradient_rows_.size();
  writer_.write("truth/gradient_rows", make_tensor(DType::i32, {rows}, gradient_rows_));
  writer_.create("inputs/do", inputs_.output_gradient_dtype(),
                 {batch_, heads_, tokens_, channels_});
  writer_.create("stages/delta", DType::f32, {batch_, heads_, tokens_});
  if (recipe_.backward.delta == recipe::Delta::unquantised_p)
    writer_.create("stages/o_unquantised_p",
                   cases::dtype_of(attention::output_format(attention::unquantised_p(recipe_))),
                   {batch_, heads_, tokens_, channels_});
  for (const char* name : {"dq", "dk", "dv"}) {
    const std::size_t heads = name == std::string_view("dq") ? heads_ : kv_heads;
    writer_.create(std::string("stages/") + name, format, {batch_, heads, tokens_, channels_});
    for (const char* kind : {"dense_", "sparse_"})
      writer_.create(std::string("truth/") + kind + name, DType::f64,
                     {batch_, heads, rows, channels_});
  }
}

void CaseWriter::put(const std::string& name, std::size_t b, std::size_t h, const Tensor& rows) {
  Shape offset{b, h}, count{1, 1};
  offset.resize(2 + rows.shape.size(), 0);
  count.insert(count.end(), rows.shape.begin(), rows.shape.end());
  writer_.write_part(name, offset, count, rows.bytes);
}

void CaseWriter::put_values(const std::string& name, std::size_t b, std::size_t h,
                            std::span<const float> values, FormatId format, Shape shape) {
  put(name, b, h, cases::encoded(values, format, std::move(shape)));
}

void CaseWriter::inputs(std::size_t b, std::size_t h, const attention::HeadInput& values) {
  const FormatId format = cases::format_of(inputs_.dtype());
  put_values("inputs/q", b, h, values.q, format, {tokens_, channels_});
  if (h % group_ != 0) return;
  put_values("inputs/k", b, h / group_, values.k, format, {tokens_, channels_});
  put_values("inputs/v", b, h / group_, values.v, format, {tokens_, channels_});
}

void CaseWriter::operands(std::size_t b, std::size_t h, const attention::QuantisedHead& head) {
  for (const auto& [name, operand] :
       {std::pair{"q", &head.q}, std::pair{"k", &head.k}, std::pair{"v", &head.v}}) {
    const std::size_t group = operand == &head.q ? 1 : group_;
    if (h % group != 0) continue;
    const auto& order = operand == &head.q ? layout_->order : layout_->key_order;
    const cases::OperandTensors made = cases::operand_tensors(*operand, order, channels_);
    const std::string stage = std::string("stages/") + name;
    put(stage + "_codes", b, h / group, made.codes);
    if (made.scale) put(stage + "_scale", b, h / group, *made.scale);
  }
  if (!head.branch.empty())
    put_values("stages/branch", b, h, head.branch, recipe_.branch.format, {tokens_, channels_});
}

void CaseWriter::result(std::size_t b, std::size_t h, const bounds::BoundedResult& result) {
  const attention::HeadResult& golden = result.golden;
  put_values("stages/o", b, h, golden.o, attention::output_format(recipe_), {tokens_, channels_});
  put_values("stages/m", b, h, golden.m, FormatId::f32, {tokens_});
  put_values("stages/l", b, h, golden.l, FormatId::f32, {tokens_});
  put_values("stages/lse", b, h, golden.lse, FormatId::f32, {tokens_});
  for (const attention::BlockTap& tap : golden.taps)
    put_tap("stages/tap/" + std::to_string(b) + "/" + std::to_string(h) + "/" +
                std::to_string(tap.query_block),
            tap);
  const bounds::OutputBounds& bounds = result.bounds;
  if (bounds.o_low.empty()) return;
  put_values("bound/o_low", b, h, bounds.o_low, attention::output_format(recipe_),
             {tokens_, channels_});
  put_values("bound/o_high", b, h, bounds.o_high, attention::output_format(recipe_),
             {tokens_, channels_});
  put_values("bound/l_low", b, h, bounds.l_low, FormatId::f32, {tokens_});
  put_values("bound/l_high", b, h, bounds.l_high, FormatId::f32, {tokens_});
  put_values("bound/lse_low", b, h, bounds.lse_low, FormatId::f32, {tokens_});
  put_values("bound/lse_high", b, h, bounds.lse_high, FormatId::f32, {tokens_});
}

void CaseWriter::output_gradient(std::size_t b, std::size_t h,
                                 const cases::BackwardRun::Head& head) {
  put_values("inputs/do", b, h, head.d_o, cases::format_of(inputs_.output_gradient_dtype()),
             {tokens_, channels_});
  if (!head.o_unquantised_p.empty())
    put_values("stages/o_unquantised_p", b, h, head.o_unquantised_p,
               attention::output_format(attention::unquantised_p(recipe_)), {tokens_, channels_});
}

void CaseWriter::gradients(std::size_t b, std::size_t kv_head,
                           const attention::BackwardResult& result) {
  const FormatId format = recipe_.backward.output;
  for (std::size_t i = 0; i < group_; ++i) {
    put_values("stages/delta", b, kv_head * group_ + i, result.delta[i], FormatId::f32, {tokens_});
    put_values("stages/dq", b, kv_head * group_ + i, result.dq[i], format, {tokens_, channels_});
  }
  put_values("stages/dk", b, kv_head, result.dk, format, {tokens_, channels_});
  put_values("stages/dv", b, kv_head, result.dv, format, {tokens_, channels_});
  const auto write = [&](const std::string& folder, std::size_t head, int block,
                         const files::Tensors& tensors) {
    const std::string group = "stages/" + folder + "/" + std::to_string(b) + "/" +
                              std::to_string(head) + "/" + std::to_string(block) + "/";
    for (const auto& [name, tensor] : tensors) writer_.write(group + name, tensor);
  };
  for (const attention::BackwardTap& tap : result.query_taps)
    write("dq_tap", kv_head * group_, tap.query_block,
          cases::dq_tap_tensors(recipe_, *layout_, tap));
  for (const attention::KeyBlockTap& tap : result.key_taps)
    write("dkv_tap", kv_head, tap.key_block, cases::dkv_tap_tensors(*layout_, tap));
}

void CaseWriter::gradient_truth(std::size_t b, std::size_t kv_head, attention::OracleMask mask,
                                const GradientTruth& truth) {
  const std::string kind = mask == attention::OracleMask::dense ? "truth/dense_" : "truth/sparse_";
  const Shape shape{gradient_rows_.size(), channels_};
  for (std::size_t i = 0; i < group_; ++i)
    put(kind + "dq", b, kv_head * group_ + i, make_tensor(DType::f64, shape, truth.dq[i]));
  put(kind + "dk", b, kv_head, make_tensor(DType::f64, shape, truth.dk));
  put(kind + "dv", b, kv_head, make_tensor(DType::f64, shape, truth.dv));
}

void CaseWriter::put_tap(const std::string& group, const attention::BlockTap& tap) {
  for (const auto& [name, tensor] : cases::tap_tensors(recipe_, *layout_, tap))
    writer_.write(group + "/" + name, tensor);
}

void CaseWriter::truth(std::size_t b, std::size_t h, attention::OracleMask mask,
                       const attention::OracleResult& result) {
  const std::string name = mask == attention::OracleMask::dense ? "truth/dense" : "truth/sparse";
  const std::size_t rows = result.lse.size();
  put(name + "_o", b, h, make_tensor(DType::f64, {rows, channels_}, result.o));
  put(name + "_lse", b, h, make_tensor(DType::f64, {rows}, result.lse));
}

}  // namespace karat::golden
