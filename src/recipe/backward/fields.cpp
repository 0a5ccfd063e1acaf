// The backward's fields, in the order of its operations.
#include "fields.hpp"

#include "../field_rows.hpp"
#include "choices.hpp"

namespace karat::recipe {
namespace {

constexpr auto kBackward = &Recipe::backward;
using enum Decides;

/// What decides how P, dO or dS is cast to an operand: "backward.ds_format" and so on.
template <auto kOperand>
void add_cast(std::vector<Field>& rows, const std::string& name, std::string_view what) {
  const std::string prefix = "backward." + name + "_";
  rows.insert(
      rows.end(),
      {choice_row<kOperandFormat, kBackward, kOperand, &Operand::format>(
           {prefix + "format", gradients, what, "open in FPSAttention; Attn-QAT: bf16"}),
       choice_row<kGroup, kBackward, kOperand, &Operand::group>(
           {prefix + "group", gradients,
            "elements that share one scale; P, dS: tensor, block or channels_16 (16 keys)",
            "SageBwd: block"}),
       choice_row<kScaleFormat, kBackward, kOperand, &Operand::scale>(
           {prefix + "scale", gradients, "format the scale is stored in", ""}),
       choice_row<kScaleRule, kBackward, kOperand, &Operand::scale_rule>(
           {prefix + "scale_rule", gradients, "how s comes from amax", "cuDNN: given"}),
       number_row<kBackward, kOperand, &Operand::multiplier>(
           {prefix + "multiplier", gradients, "scale_rule given: x times this is coded",
            "cuDNN scale_S, scale_dP: delayed scaling"},
           kSmallestMultiplier, kLargestMultiplier),
       choice_row<kCodeRule, kBackward, kOperand, &Operand::code_rule>(
           {prefix + "code_rule", gradients, "what is rounded to a code", ""}),
       choice_row<kGuard, kBackward, kOperand, &Operand::guard>(
           {prefix + "guard", gradients, "what keeps an all-zero group from dividing by zero", ""}),
       choice_row<kRounding, kBackward, kOperand, &Operand::rounding>(
           {prefix + "rounding", gradients, "rounding to the format", "cvt.rn"}),
       choice_row<kOverflow, kBackward, kOperand, &Operand::overflow>(
           {prefix + "overflow", gradients,
            "what a value past the largest finite one becomes; implied by the format",
            "cvt.rn.satfinite; cvt.rn"}),
       choice_row<kEnters, kBackward, kOperand, &Operand::enters>(
           {prefix + "enters", gradients, "what the tensor core reads of coded values",
            "Attn-QAT: bf16"})});
}

template <auto kMember>
Field instruction_row(const char* name, std::string_view meaning) {
  return text_row<kBackward, kMember>(
      {std::string("backward.") + name, gradients, meaning, "Hopper"}, Kind::instruction);
}

}  // namespace

void add_backward_fields(std::vector<Field>& rows) {
  const std::vector<Field> loops = {
      choice_row<kBackwardLoop, kBackward, &Backward::loop>(
          {"backward.loop", gradients, "which loops the backward has",
           "FlashAttention-3: key_blocks; FlexAttention, Attn-QAT: two_kernels"}),
      integer_row<kBackward, &Backward::block_q>(
          {"backward.block_q", gradients, "query rows of a step; 0: block.q", ""}, 0, kMaxCount),
      integer_row<kBackward, &Backward::block_k>(
          {"backward.block_k", gradients, "keys of a step; 0: block.k", ""}, 0, kMaxCount),
      choice_row<kBlockOrder, kBackward, &Backward::query_order>(
          {"backward.query_order", gradients, "order in which dV and dK add query blocks",
           "FlashAttention-3, FlexAttention: ascending"}),
      choice_row<kBlockOrder, kBackward, &Backward::key_order>(
          {"backward.key_order", gradients, "order in which dQ adds key blocks",
           "atomics: open; FlashAttention's deterministic form: ascending"}),
      choice_row<kBackwardScores, kBackward, &Backward::scores>(
          {"backward.scores", gradients, "what S is recomputed from", "open in FPSAttention"}),
      instruction_row<&Backward::s>("s", "instruction of S, for scores operands"),
      choice_row<kPExponent, kBackward, &Backward::exponent>(
          {"backward.exponent", gradients, "P is 2 to this, L the log-sum-exp in log2 units",
           "FlashAttention-3 as compiled: fused"}),
      choice_row<kSource, kBackward, &Backward::q>(
          {"backward.q", gradients, "which q the products read", "open in FPSAttention"}),
      choice_row<kSource, kBackward, &Backward::k>(
          {"backward.k", gradients, "which k", "open in FPSAttention"}),
      choice_row<kSource, kBackward, &Backward::v>(
          {"backward.v", gradients, "which v", "open in FPSAttention"}),
      choice_row<kPlain, kBackward, &Backward::plain>(
          {"backward.plain", gradients, "format of what enters dequantised or as given",
           "Attn-QAT: bf16"}),
  };
  rows.insert(rows.end(), loops.begin(), loops.end());
  add_cast<&Backward::p>(rows, "p", "format of P in dV");
  add_cast<&Backward::d_o>(rows, "do", "format of dO in dV, and in dP by do_in_dp");
  const std::vector<Field> products = {
      choice_row<kSource, kBackward, &Backward::do_in_dp>(
          {"backward.do_in_dp", gradients, "which dO the product dP reads", "SageBwd: input"}),
      choice_row<kDelta, kBackward, &Backward::delta>(
          {"backward.delta", gradients, "whose output delta sums", "Attn-QAT: unquantised_p"}),
      choice_row<kDeltaSum, kBackward, &Backward::delta_sum>(
          {"backward.delta_sum", gradients, "order of delta's additions", "open"}),
      choice_row<kSoftmaxScale, kBackward, &Backward::softmax_scale>(
          {"backward.softmax_scale", gradients, "where d^-1/2 enters", "cuDNN FP8: ds"}),
  };
  rows.insert(rows.end(), products.begin(), products.end());
  add_cast<&Backward::ds>(rows, "ds", "format of dS in dQ and dK");
  const std::vector<Field> rest = {
      instruction_row<&Backward::dp>("dp", "instruction of dO V^T; implied by formats"),
      instruction_row<&Backward::dv>("dv", "instruction of P^T dO; implied by formats"),
      instruction_row<&Backward::dq>("dq", "instruction of dS K; implied by formats"),
      instruction_row<&Backward::dk>("dk", "instruction of dS^T Q; implied by formats"),
      choice_row<kPromote, kBackward, &Backward::promote>(
          {"backward.promote", gradients,
           "how blocks add up; loop key_blocks adds dQ by blocks in any case", "SageBwd: block"}),
      choice_row<kHeadSum, kBackward, &Backward::head_sum>(
          {"backward.head_sum", gradients, "grouped heads: how query heads add up in dK and dV",
           "FlexAttention: chain"}),
      choice_row<kSmoothTerm, kBackward, &Backward::smooth_term>(
          {"backward.smooth_term", gradients, "k.smooth mean: what its mean adds to dQ",
           "Attn-QAT, SageBwd: added"}),
      choice_row<kStraightThrough, kBackward, &Backward::straight_through>(
          {"backward.straight_through", gradients, "gradient of the quantisers of q, k and v",
           "straight-through estimator: identity"}),
      choice_row<kGradient, kBackward, &Backward::output>(
          {"backward.output", gradients, "format of dq, dk and dv", "cuDNN FP8: e5m2"}),
      number_row<kBackward, &Backward::dq_multiplier>(
          {"backward.dq_multiplier", gradients, "dq times this is cast", "cuDNN scale_dQ"},
          kSmallestMultiplier, kLargestMultiplier),
      number_row<kBackward, &Backward::dk_multiplier>(
          {"backward.dk_multiplier", gradients, "dk times this is cast", "cuDNN scale_dK"},
          kSmallestMultiplier, kLargestMultiplier),
      number_row<kBackward, &Backward::dv_multiplier>(
          {"backward.dv_multiplier", gradients, "dv times this is cast", "cuDNN scale_dV"},
          kSmallestMultiplier, kLargestMultiplier),
  };
  rows.insert(rows.end(), rest.begin(), rest.end());
}

}  // namespace karat::recipe
