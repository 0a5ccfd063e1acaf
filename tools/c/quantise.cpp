// One operand's codes and scales, made as the recipe's kernel makes them.
#include <utility>

#include "call.hpp"
#include "heads.hpp"
#include "karat/case/case.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/stages.hpp"
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
  const auto heads = std::make_shared<const Heads>(input, Reads::q);
  const cases::Case of = cases::make_case(only(given, operand), heads);
  const cases::InputShape& shape = of.shape();
  files::TensorFile file{.tensors = {}, .metadata = cases::describe(given, shape.grid, shape.text)};
  files::Tensor& codes = file.tensors["codes"];
  const auto visit = [&](const cases::HeadAtWork& work) -> cases::Delivery {
    const auto made = std::make_shared<cases::OperandTensors>(cases::operand_tensors(
        operand == "q"   ? work.operands.q
        : operand == "k" ? work.operands.k
                         : work.operands.v,
        operand == "q" ? work.layout.order : work.layout.key_order, shape.channels));
    return [&, made] {
      if (codes.shape.empty())
        codes = files::make_tensor(made->codes.dtype,
                                   {shape.batch, shape.heads, shape.tokens(), shape.channels});
      put_rows(made->codes, *heads, heads->shape().heads, work.batch, work.head,
               codes.bytes.data());
      if (made->scale)
        cases::append_head(file.tensors, "scale", shape.batch, shape.heads, *made->scale);
    };
  };
  cases::compute_heads(of, {.threads = threads}, visit);
  if (heads->layout() == cases::TensorLayout::bshd) std::swap(codes.shape[1], codes.shape[2]);
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
