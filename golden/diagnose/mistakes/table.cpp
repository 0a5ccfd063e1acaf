// The table of mistakes: each one small transformation of inputs, layout, operands, kernel or
// output.
#include "actions.hpp"

namespace karat::golden {
namespace {

constexpr std::string_view kScaleIndex =
    "the index into the scale tensor: its stride, its base "
    "and which operand it belongs to";
constexpr std::string_view kReorder =
    "the reordering of tokens before the kernel and back after it";
constexpr std::string_view kStrides =
    "strides of head and token, a missing transpose or contiguous()";
constexpr std::string_view kConstant =
    "the constant that multiplies the scores: d^-1/2, log2 e, and "
    "whether exp or exp2 reads it";
constexpr std::string_view kBlockList =
    "the list of key blocks: counts, offsets, which query block "
    "indexes it";
constexpr std::string_view kRescale =
    "where the accumulators are multiplied by alpha when the "
    "maximum moves";
constexpr std::string_view kEpilogue = "the epilogue: 1/l, v's scale, P's multiplier, the cast";
constexpr std::string_view kTranspose =
    "the transpose of V: the layout of its tile in shared memory "
    "against the fragment's";

constexpr std::string_view kMaskIndex = "the index of the mask: head, batch, strides";
constexpr std::string_view kMaskOrder =
    "whether the mask follows the caller's tokens or the kernel's order of positions";
constexpr std::string_view kText =
    "how keys and queries of the text are masked: they see and are seen by all";

constexpr Mistake kMistakes[] = {
    // layout
    {"tokens not reordered", "Q, K, V stay row-major while mask and blocks take them for tiled",
     kReorder, Moment::layout, untiled, 3},
    {"queries not reordered", "Q and O stay row-major, K and V are tiled", kReorder, Moment::layout,
     untiled, 1},
    {"keys not reordered", "K and V stay row-major, Q and O are tiled", kReorder, Moment::layout,
     untiled, 2},
    {"output left tiled", "O is stored in the kernel's order of positions", kReorder,
     Moment::output, rows_from<tiled_row>, 0},
    {"output reordered backwards", "O goes back by the inverse of the right permutation", kReorder,
     Moment::output, rows_from<inverse_row>, 0},
    {"output reversed", "tokens of O stand last to first", kReorder, Moment::output,
     rows_from<reversed_row>, 0},
    {"grid axes h and w exchanged", "the grid is taken for t x w x h",
     "the order of the grid's extents", Moment::launch, grid_axes_exchanged, 0},
    {"grid axes t and h exchanged", "the grid is taken for h x t x w",
     "the order of the grid's extents", Moment::launch, grid_axes_exchanged, 1},
    {"grid axes t and w exchanged", "the grid is taken for w x h x t",
     "the order of the grid's extents", Moment::launch, grid_axes_exchanged, 2},
    {"partial blocks unmasked", "every pair of a partial block counts, padding too",
     "the predicate of partial and ragged blocks", Moment::layout, partial_unmasked},
    {"partial blocks left out", "only full key blocks are visited", kBlockList, Moment::layout,
     partial_left_out},
    {"short blocks read on", "a block at the end of a tile reads the tokens behind it",
     "the bound of a tile's last block of keys", Moment::layout, short_blocks_read_on},
    {"last key block left out", "the loop over key blocks ends one early", kBlockList,
     Moment::layout, visits_wrong, kLastLeftOut},
    {"first key block left out", "the loop over key blocks begins one late", kBlockList,
     Moment::layout, visits_wrong, kFirstLeftOut},
    {"last key block twice", "the loop over key blocks visits the last one again", kBlockList,
     Moment::layout, visits_wrong, kLastTwice},
    {"mask of the next query block", "each query block visits its successor's key blocks",
     kBlockList, Moment::layout, visits_wrong, kNextRow},
    {"mask of the previous query block", "each query block visits its predecessor's key blocks",
     kBlockList, Moment::layout, visits_wrong, kPreviousRow},
    // masks of the case, predicted masks
    {"mask of the next head", "the mask given for, or predicted from, head h+1 is used", kMaskIndex,
     Moment::launch, mask_of_next_head},
    {"mask of the first head", "all heads use the mask of head 0", kMaskIndex, Moment::launch,
     mask_of_first_head},
    {"mask transposed", "rows of the given mask are taken for keys, columns for queries",
     "which index of the mask is the query", Moment::layout, mask_transposed},
    {"mask read by position", "the given mask's rows and columns are taken for positions",
     kMaskOrder, Moment::layout, mask_by_position},
    {"mask read by token", "the given mask's positions are taken for tokens", kMaskOrder,
     Moment::layout, mask_by_token},
    // text behind the video
    {"text keys left out", "no query sees the text", kText, Moment::layout, text_masked,
     kTextKeysLeftOut},
    {"text sees text alone", "queries of the text see no video", kText, Moment::layout, text_masked,
     kTextSeesTextAlone},
    {"text masked as video", "text is taken for tokens of the last tile, and masked with it", kText,
     Moment::layout, text_masked, kTextInLastTile},
    // heads
    {"q of the next head", "Q comes from head h+1", kStrides, Moment::inputs, q_of_next_head},
    {"k and v of the next head", "K and V come from head h+1",
     "the map from query heads to key heads", Moment::inputs, keys_of_next_head, kK},
    {"k and v of the wrong group", "query head h reads key head h modulo their number",
     "the map from query heads to key heads: h / group", Moment::inputs, keys_of_wrong_group},
    {"v of the next head", "V comes from head h+1", kStrides, Moment::inputs, keys_of_next_head,
     kV},
    {"output of the next head", "head h holds head h+1's output", kStrides, Moment::output,
     rows_from<next_head_row>, 1},
    {"output of the previous head", "head h holds head h-1's output", kStrides, Moment::output,
     rows_from<previous_head_row>, 1},
    {"heads and tokens of o exchanged", "O is [B,S,H,D] in memory, read as [B,H,S,D]", kStrides,
     Moment::output, rows_from<bshd_row>, 1},
    {"heads and tokens of q exchanged", "the kernel reads Q as [B,S,H,D]", kStrides, Moment::inputs,
     heads_and_tokens_exchanged, 1},
    {"heads and tokens of k and v exchanged", "the kernel reads K and V as [B,S,H,D]", kStrides,
     Moment::inputs, heads_and_tokens_exchanged, 6},
    {"heads and tokens of q, k, v exchanged", "the kernel reads all inputs as [B,S,H,D]", kStrides,
     Moment::inputs, heads_and_tokens_exchanged, 7},
    {"q and k exchanged", "S is transposed", "the order of the operands of Q K^T", Moment::inputs,
     operands_exchanged, 1},
    {"k and v exchanged", "V enters Q K^T and K enters P V", "the descriptors of K and V",
     Moment::inputs, operands_exchanged, 2},
    // channels
    {"v channels reversed", "O's channel j is d-1-j", kTranspose, Moment::output, channels_permuted,
     kReversed},
    {"v channel halves exchanged", "O's channel j is j + d/2", kTranspose, Moment::output,
     channels_permuted, kHalves},
    {"v channel pairs exchanged", "O's channel j is j xor 1", kTranspose, Moment::output,
     channels_permuted, kPairs},
    {"v channels even then odd", "O's channels are 0 2 4 ... 1 3 5 ...", kTranspose, Moment::output,
     channels_permuted, kEvenOdd},
    {"v channels interleaved", "O's channels are 0 d/2 1 d/2+1 ...", kTranspose, Moment::output,
     channels_permuted, kOddEven},
    {"v channels transposed 4x4", "within 16 channels rows and columns of 4 are exchanged",
     kTranspose, Moment::output, channels_permuted, kFours},
    {"v channel eights exchanged", "O's channel j is j xor 8", kTranspose, Moment::output,
     channels_permuted, kEights},
    {"v codes reversed, scales not", "V's codes are permuted, its scales are not", kTranspose,
     Moment::operands, codes_permuted, kReversed},
    {"v code halves exchanged, scales not", "V's codes are permuted, its scales are not",
     kTranspose, Moment::operands, codes_permuted, kHalves},
    {"v code pairs exchanged, scales not", "V's codes are permuted, its scales are not", kTranspose,
     Moment::operands, codes_permuted, kPairs},
    {"v codes transposed 4x4, scales not", "V's codes are permuted, its scales are not", kTranspose,
     Moment::operands, codes_permuted, kFours},
    {"last channels left out", "Q K^T misses the last k-group of the head dimension",
     "the loop over the head dimension", Moment::operands, last_channels_left_out},
    // scales
    {"q's scale for k's", "scores use s_q * s_q", kScaleIndex, Moment::operands, scale_of_other,
     kK},
    {"k's scale for q's", "scores use s_k * s_k", kScaleIndex, Moment::operands, scale_of_other,
     kQ},
    {"q_scale missing", "s_q is taken for 1", kScaleIndex, Moment::operands, scale_missing, kQ},
    {"k_scale missing", "s_k is taken for 1", kScaleIndex, Moment::operands, scale_missing, kK},
    {"v_scale missing", "s_v is taken for 1", kEpilogue, Moment::operands, scale_missing, kV},
    {"q_scale inverted", "1/s_q stands for s_q", "whether the tensor holds scales or descales",
     Moment::operands, scale_inverted, kQ},
    {"k_scale inverted", "1/s_k stands for s_k", "whether the tensor holds scales or descales",
     Moment::operands, scale_inverted, kK},
    {"v_scale inverted", "1/s_v stands for s_v", "whether the tensor holds scales or descales",
     Moment::operands, scale_inverted, kV},
    {"q_scale applied twice", "s_q^2 stands for s_q", kScaleIndex, Moment::operands, scale_twice,
     kQ},
    {"k_scale applied twice", "s_k^2 stands for s_k", kScaleIndex, Moment::operands, scale_twice,
     kK},
    {"v_scale applied twice", "s_v^2 stands for s_v", kEpilogue, Moment::operands, scale_twice, kV},
    {"q_scale of the next group", "group g reads scale g+1", kScaleIndex, Moment::operands,
     scale_of_next_group, kQ},
    {"k_scale of the next group", "group g reads scale g+1", kScaleIndex, Moment::operands,
     scale_of_next_group, kK},
    {"v_scale of the next group", "group g reads scale g+1", kScaleIndex, Moment::operands,
     scale_of_next_group, kV},
    {"q_scale of the first group", "all groups read scale 0", kScaleIndex, Moment::operands,
     scale_of_first_group, kQ},
    {"k_scale of the first group", "all groups read scale 0", kScaleIndex, Moment::operands,
     scale_of_first_group, kK},
    {"v_scale of the first group", "all groups read scale 0", kScaleIndex, Moment::operands,
     scale_of_first_group, kV},
    // scores
    {"softmax scale missing", "scores lack d^-1/2", kConstant, Moment::operands, constant_wrong,
     kNoRootD},
    {"softmax scale applied twice", "scores are multiplied by 1/d", kConstant, Moment::operands,
     constant_wrong, kRootDTwice},
    {"log2 e missing", "2^x of a score in natural units", kConstant, Moment::operands,
     constant_wrong, kNoLog2E},
    {"base-e exponent", "e^x of a score in log2 units: log2 e enters twice", kConstant,
     Moment::operands, constant_wrong, kLog2ETwice},
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

std::span<const Mistake> mistakes() { return kMistakes; }

}  // namespace karat::golden
