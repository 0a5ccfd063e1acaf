// Codes into operands and back into values.
#include "karat/case/inputs.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/base/error.hpp"

namespace karat::cases {
namespace {

std::string format_name(numerics::FormatId format) {
  return std::string(numerics::format(format).name);
}

quant::Quantised operand_of(const CodedOperand& coded, const quant::Rule& rule,
                            const quant::Grouping& grouping, const video::TokenOrder& order,
                            std::size_t channels, const char* name) {
  if (!quant::leaves_scales(rule))
    throw Error(ErrorKind::usage, std::string(name) + ".format",
                "the recipe reads values, the input holds codes", "choose a recipe with codes");
  if (coded.format && *coded.format != rule.format)
    throw Error(ErrorKind::usage, std::string(name) + "_codes",
                "are " + format_name(*coded.format) + " where the recipe's " + name +
                    ".format is " + format_name(rule.format),
                "give codes of that format, or a recipe of theirs");
  if (rule.smooth != quant::Smooth::none)
    throw Error(ErrorKind::usage, std::string(name) + ".smooth",
                "the recipe smooths values, the input holds codes", "give q, k and v as values");
  if (coded.scales.size() != static_cast<std::size_t>(grouping.count()))
    throw Error(ErrorKind::usage, std::string(name) + "_scale",
                std::to_string(coded.scales.size()) + " scales where the recipe's groups are " +
                    std::to_string(grouping.count()),
                "give one scale per group of " + std::string(name));
  std::vector<std::uint8_t> codes(order.token_at.size() * channels, 0);
  for (std::size_t i = 0; i < order.token_at.size(); ++i)
    if (const std::int32_t token = order.token_at[i]; token >= 0)
      std::copy_n(&coded.codes[token * channels], channels, &codes[i * channels]);
  quant::Quantised operand = quant::from_codes(codes, coded.scales, order.token_at.size(), channels,
                                               rule.format, grouping);
  for (std::size_t e = 0; e < operand.values.size(); ++e)
    if (std::isnan(operand.values[e]))
      throw Error(ErrorKind::input_output, std::string(name) + "_codes",
                  "NaN at token " + std::to_string(order.token_at[e / channels]) + ", channel " +
                      std::to_string(e % channels),
                  "attention of it has no value; mend the input");
  return operand;
}

std::vector<float> values_of(const quant::Quantised& operand, const video::TokenOrder& order,
                             std::size_t channels) {
  std::vector<float> values(order.position_of.size() * channels);
  for (std::size_t token = 0; token < order.position_of.size(); ++token) {
    const auto row = static_cast<std::size_t>(order.position_of[token]);
    for (std::size_t j = 0; j < channels; ++j)
      values[token * channels + j] = operand.scale(row, j) * operand.values[row * channels + j];
  }
  return values;
}

}  // namespace

attention::HeadInput Inputs::borrowed(std::size_t batch, std::size_t head, int threads,
                                      HeadValues& room) const {
  room = values(batch, head, threads);
  return room.view();
}

CodedHead Inputs::codes(std::size_t, std::size_t) const {
  throw Error(ErrorKind::internal, "inputs", "hold values, not codes");
}

void Inputs::prepare(int) const {}

std::vector<float> Inputs::output_gradient(std::size_t, std::size_t) const {
  throw Error(ErrorKind::internal, "inputs", "have no gradient of the output");
}

GivenOutputs Inputs::outputs(std::size_t, std::size_t, numerics::FormatId) const {
  throw Error(ErrorKind::internal, "inputs", "have no outputs");
}

attention::QuantisedHead quantised(const recipe::Recipe& recipe, const layout::Layout& layout,
                                   const CodedHead& head) {
  if (recipe.branch.kind != recipe::BranchKind::none)
    throw Error(ErrorKind::usage, "branch.kind", "is made of values, the input holds codes",
                "give q, k and v as values");
  const std::size_t d = layout.channels;
  return {.q = operand_of(head.q, recipe.q, layout.q_groups, layout.order, d, "q"),
          .k = operand_of(head.k, recipe.k, layout.k_groups, layout.key_order, d, "k"),
          .v = operand_of(head.v, recipe.v, layout.v_groups, layout.key_order, d, "v")};
}

HeadValues dequantised(const layout::Layout& layout, const attention::QuantisedHead& head) {
  return {.q = values_of(head.q, layout.order, layout.channels),
          .k = values_of(head.k, layout.key_order, layout.channels),
          .v = values_of(head.v, layout.key_order, layout.channels)};
}

}  // namespace karat::cases
