// One operand's codes and scales, made as the recipe's kernel makes them.
#include <algorithm>
#include <cstring>

#include "call.hpp"
#include "heads.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/metadata.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

/// The other two operands as plain f32: nothing is computed for them.
recipe::Recipe only(recipe::Recipe recipe, std::string_view operand) {
  const quant::Rule nothing;
  if (operand != "q") recipe.q = nothing;
  if (operand != "k") recipe.k = nothing;
  if (operand != "v") recipe.v = nothing;
  if (operand != "q" && operand != "k" && operand != "v")
    throw Error(ErrorKind::usage, "operand", "\"" + std::string(operand) + "\" is not known",
                "give q, k or v");
  return recipe;
}

karat_tensors* quantise(const recipe::Recipe& given, std::string_view operand,
                        const karat_heads& input, int threads) {
  const recipe::Recipe recipe = only(given, operand);
  const Heads heads(input, Reads::q);
  const cases::InputShape& shape = heads.shape();
  const layout::Layout layout = layout::make_layout(recipe, heads.setting());
  const Strides strides(shape, shape.heads, heads.layout());
  const video::TokenOrder& order = operand == "q" ? layout.order : layout.key_order;
  std::vector<float> values(heads.count() * shape.tokens() * shape.channels), scales;
  numerics::FormatId format = numerics::FormatId::f32;
  Heads::Room room;
  for (std::size_t number = 0; number < heads.count(); ++number) {
    const std::size_t b = number / shape.heads, h = number % shape.heads;
    const attention::QuantisedHead head = attention::quantise_head(
        recipe, layout, heads.head(b, h, room), numerics::Path::fast, threads);
    const quant::Quantised& made = operand == "q" ? head.q : operand == "k" ? head.k : head.v;
    format = made.format;
    for (std::size_t token = 0; token < shape.tokens(); ++token)
      std::copy_n(&made.values[static_cast<std::size_t>(order.position_of[token]) * shape.channels],
                  shape.channels, &values[strides.offset(b, h) + token * strides.row]);
    scales.insert(scales.end(), made.scales.begin(), made.scales.end());
  }
  files::Shape whole{shape.batch, shape.heads, shape.tokens(), shape.channels};
  if (heads.layout() == cases::TensorLayout::bshd) std::swap(whole[1], whole[2]);
  files::TensorFile file{.tensors = {{"codes", cases::encoded(values, format, whole)}},
                         .metadata = cases::describe(given, shape.grid, shape.text)};
  if (!scales.empty()) {
    const std::size_t groups = scales.size() / heads.count();
    file.tensors["scale"] =
        cases::encoded(scales, numerics::FormatId::f32, {shape.batch, shape.heads, groups});
  }
  return handed_out(std::move(file));
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_quantise(const karat_recipe* recipe, const char* operand,
                            const karat_heads* input, int32_t threads, karat_tensors** result,
                            karat_error* error) {
  return c::guarded(error, [&] {
    c::required(result, "result");
    *result = c::quantise(c::required(recipe, "recipe")->recipe, c::required(operand, "operand"),
                          *c::required(input, "input"), threads);
  });
}
