// Mistakes inside the kernel: scores, smoothing, softmax, P V, finish.
#include "actions.hpp"

namespace karat::golden {
namespace {

constexpr std::string_view kConstant =
    "the constant that multiplies the scores: d^-1/2, log2 e, and "
    "whether exp or exp2 reads it";
constexpr std::string_view kRescale =
    "where the accumulators are multiplied by alpha when the "
    "maximum moves";
constexpr std::string_view kUnfused = "the type scores are stored in between Q K^T and the softmax";
constexpr std::string_view kAllMasked =
    "exponents while the running maximum is -inf: FlashAttention takes 0 for it there";

constexpr Mistake kKernelMistakes[] = {
    // scores
    {"softmax scale missing", "scores lack d^-1/2", kConstant, Moment::operands, constant_wrong,
     kNoRootD},
    {"softmax scale applied twice", "scores are multiplied by 1/d", kConstant, Moment::operands,
     constant_wrong, kRootDTwice},
    {"log2 e missing", "2^x of a score in natural units", kConstant, Moment::operands,
     constant_wrong, kNoLog2E},
    {"base-e exponent", "e^x of a score in log2 units: log2 e enters twice", kConstant,
     Moment::operands, constant_wrong, kLog2ETwice},
    {"softmax scale of d padded to a power of two", "scores use the padded head dimension's root",
     kConstant, Moment::operands, constant_wrong, kPaddedToPower},
    {"softmax scale of d padded to 128", "scores use 128^-1/2", kConstant, Moment::operands,
     constant_wrong, kPaddedTo128},
    // smoothing
    {"q's mean not put back", "scores lack what smoothing took out of Q",
     "the correction that smoothing Q needs", Moment::operands, q_mean_forgotten},
    {"k's mean not put back", "lse lacks what smoothing took out of K",
     "the correction of lse that smoothing K needs", Moment::operands, k_mean_forgotten},
    {"v's mean not put back", "O lacks what smoothing took out of V", kEpilogue, Moment::kernel,
     kernel_fault, fault(KernelFault::v_mean_forgotten)},
    {"q not rotated", "K is rotated, Q is not", "the Hadamard rotation of both operands",
     Moment::launch, rotated_on_one_side, kQ},
    {"k not rotated", "Q is rotated, K is not", "the Hadamard rotation of both operands",
     Moment::launch, rotated_on_one_side, kK},
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
    {"scores in bf16, log2 units", "scores times log2 e are stored in BF16 before the softmax",
     kUnfused, Moment::kernel, kernel_fault, fault(KernelFault::scores_in_bf16)},
    {"scores in bf16", "scores are stored in BF16 before the softmax", kUnfused, Moment::kernel,
     kernel_fault, fault(KernelFault::natural_scores_in_bf16)},
    {"q k products in bf16", "q.k is stored in BF16 before d^-1/2", kUnfused, Moment::kernel,
     kernel_fault, fault(KernelFault::products_in_bf16)},
    {"p cast through bf16", "P is rounded to BF16, then to its codes", kTwoCasts, Moment::kernel,
     kernel_fault, fault(KernelFault::p_through_bf16)},
    {"p cast through f16", "P is rounded to F16, then to its codes", kTwoCasts, Moment::kernel,
     kernel_fault, fault(KernelFault::p_through_f16)},
    {"-inf - -inf unguarded", "rows whose first block is all masked become NaN", kAllMasked,
     Moment::kernel, kernel_fault, fault(KernelFault::unguarded_infinity)},
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

std::span<const Mistake> mistakes_of_kernel() { return kKernelMistakes; }

}  // namespace karat::golden
