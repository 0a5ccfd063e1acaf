// Attention head by head into the caller's buffers, with the stages on request.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <cstring>

#include "call.hpp"
#include "given_mask.hpp"
#include "heads.hpp"
#include "karat/attention/oracle.hpp"
#include "karat/attention/predict.hpp"
#include "karat/golden/export.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/metadata.hpp"
#include "karat/golden/taps.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

void require_output_type(const karat_attend_args& args) {
  if (args.o == nullptr) return;
  const files::DType made = cases::dtype_of(attention::output_format(args.recipe->recipe));
  if (dtype_of(required(args.o_type, "o_type")) == made) return;
  throw Error(
      ErrorKind::usage, "o_type",
      std::string(args.o_type) + " where the recipe writes " + std::string(files::info(made).name),
      "give room of that type");
}

/// [B][H][S] of one head.
void put(float* all, std::size_t number, std::span<const float> head) {
  if (all != nullptr) std::ranges::copy(head, all + number * head.size());
}

/// Rows of one head in the output's type, in the layout of the inputs.
void put_output(void* all, const Heads& heads, std::size_t b, std::size_t h,
                const std::vector<float>& o, numerics::FormatId format) {
  if (all == nullptr) return;
  const cases::InputShape& shape = heads.shape();
  const Strides strides(shape, shape.heads, heads.layout());
  const files::Tensor coded = cases::encoded(o, format, {shape.tokens(), shape.channels});
  const std::size_t size = files::info(coded.dtype).size, row = shape.channels * size;
  auto* to = static_cast<std::byte*>(all) + strides.offset(b, h) * size;
  for (std::size_t s = 0; s < shape.tokens(); ++s)
    std::memcpy(to + s * strides.row * size, &coded.bytes[s * row], row);
}

/// Codes and scales under their stage names, all heads, each operand once.
class Stages {
 public:
  /// @param layout of the head that is added next
  Stages(const recipe::Recipe& recipe, const layout::Layout& layout, const Heads& heads)
      : recipe_(recipe), layout_(layout), shape_(heads.shape()) {}

  /// The heads of a group share codes and scales of k and v: its first adds them.
  void add(std::size_t h, const attention::QuantisedHead& head) {
    add_operand("q", head.q, layout_.order);
    if (h % shape_.group() != 0) return;
    add_operand("k", head.k, layout_.key_order);
    add_operand("v", head.v, layout_.key_order);
  }
  void add(std::size_t b, std::size_t h, const attention::HeadResult& result) {
    for (const attention::BlockTap& tap : result.taps)
      for (auto& [name, tensor] : golden::tap_tensors(recipe_, layout_, tap))
        file_.tensors[golden::tap_name(b, h, tap.query_block, name)] = std::move(tensor);
  }
  files::TensorFile take() {
    file_.metadata = cases::describe(recipe_, shape_.grid, shape_.text);
    return std::move(file_);
  }

 private:
  void add_operand(const std::string& name, const quant::Quantised& operand,
                   const video::TokenOrder& order) {
    const std::size_t d = shape_.channels;
    std::vector<float> rows(shape_.tokens() * d);
    for (std::size_t token = 0; token < shape_.tokens(); ++token)
      std::copy_n(&operand.values[static_cast<std::size_t>(order.position_of[token]) * d], d,
                  &rows[token * d]);
    const std::size_t heads = name == "q" ? shape_.heads : shape_.heads / shape_.group();
    append(name + "_codes", heads, cases::encoded(rows, operand.format, {shape_.tokens(), d}));
    if (!operand.scales.empty())
      append(name + "_scale", heads,
             cases::encoded(operand.scales, numerics::FormatId::f32, {operand.scales.size()}));
  }
  void append(const std::string& name, std::size_t heads, files::Tensor head) {
    files::Tensor& all = file_.tensors[name];
    if (all.bytes.empty()) {
      all.dtype = head.dtype;
      all.shape = head.shape;
      all.shape.insert(all.shape.begin(), {shape_.batch, heads});
    }
    all.bytes.insert(all.bytes.end(), head.bytes.begin(), head.bytes.end());
  }

  const recipe::Recipe& recipe_;
  const layout::Layout& layout_;
  cases::InputShape shape_;
  files::TensorFile file_;
};

void attend(const karat_attend_args& args) {
  const recipe::Recipe& recipe = required(args.recipe, "recipe")->recipe;
  const MaskArrays mask{args.block_mask, args.keep, args.keep_positions};
  require_given(recipe, mask);
  require_output_type(args);
  const Heads heads(args.input);
  const cases::InputShape& shape = heads.shape();
  const layout::Setting setting = heads.setting(given_mask(mask));
  const bool per_head = attention::depends_on_head(recipe);
  attention::AttendOptions options{.threads = args.threads,
                                   .progress = steps_of(args.progress, args.context)};
  layout::Layout layout;
  const auto begin_with = [&](layout::Layout made) {
    layout = std::move(made);
    if (args.stages != nullptr)
      options.tapped = golden::parse_taps(args.taps == nullptr ? "none" : args.taps, layout, 0);
  };
  if (!per_head) begin_with(layout::make_layout(recipe, setting));
  Stages stages(recipe, layout, heads);
  Heads::Room room;
  for (std::size_t b = 0; b < shape.batch; ++b)
    for (std::size_t h = 0; h < shape.heads; ++h) {
      const attention::HeadInput input = heads.head(b, h, room);
      if (per_head) begin_with(attention::layout_of_head(recipe, setting, input, args.threads));
      const attention::QuantisedHead head =
          attention::quantise_head(recipe, layout, input, numerics::Path::fast, args.threads);
      const attention::HeadResult result = attention::attend(recipe, layout, head, options);
      const std::size_t number = b * shape.heads + h;
      put_output(args.o, heads, b, h, result.o, attention::output_format(recipe));
      put(args.lse, number, result.lse);
      put(args.m, number, result.m);
      put(args.l, number, result.l);
      if (args.stages == nullptr) continue;
      stages.add(h, head);
      stages.add(b, h, result);
    }
  if (args.stages != nullptr) *args.stages = handed_out(stages.take());
}

using Steps = std::function<void(std::size_t, std::size_t)>;

void truth(const recipe::Recipe& recipe, const karat_heads& input, int sparse, int threads,
           double* o, double* lse, const Steps& progress) {
  const Heads heads(input);
  const cases::InputShape& shape = heads.shape();
  const layout::Setting setting = heads.setting();
  const bool per_head = attention::depends_on_head(recipe);
  layout::Layout layout;
  if (!per_head) layout = layout::make_layout(recipe, setting);
  std::vector<std::int32_t> tokens(shape.tokens());
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i);
  Heads::Room room;
  for (std::size_t number = 0; number < heads.count(); ++number) {
    const attention::HeadInput head = heads.head(number / shape.heads, number % shape.heads, room);
    if (per_head) layout = attention::layout_of_head(recipe, setting, head, threads);
    const attention::OracleResult result = attention::oracle(
        layout, head, tokens,
        sparse != 0 ? attention::OracleMask::sparse : attention::OracleMask::dense, threads,
        progress);
    if (o != nullptr) std::ranges::copy(result.o, o + number * result.o.size());
    if (lse != nullptr) std::ranges::copy(result.lse, lse + number * result.lse.size());
  }
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_attend(const karat_attend_args* args, karat_error* error) {
  return c::guarded(error, [&] {
    c::require_size(c::required(args, "args")->size, sizeof *args, "karat_attend_args");
    c::attend(*args);
  });
}

karat_status karat_truth(const karat_recipe* recipe, const karat_heads* input, int sparse,
                         int32_t threads, double* o, double* lse, karat_progress progress,
                         void* context, karat_error* error) {
  return c::guarded(error, [&] {
    c::truth(c::required(recipe, "recipe")->recipe, *c::required(input, "input"), sparse, threads,
             o, lse, c::steps_of(progress, context));
  });
}
