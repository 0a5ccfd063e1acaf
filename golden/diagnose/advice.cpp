// What to look for in a kernel, field by field.
#include "hypothesis.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::golden {
namespace {

struct Advice {
  std::string_view field;  ///< the whole path, or its last part for operands
  std::string_view look_for;
};
constexpr Advice kAdvice[] = {
    {"softmax.rescale_threshold",
     "the old maximum stays while the new one is within the threshold; P then passes the format's "
     "largest value and saturates, the row sum does not"},
    {"softmax.row_sum", "whether l adds P before or after its cast"},
    {"softmax.row_sum_order", "the order of l's additions: lanes of the fragment, then shuffles"},
    {"softmax.row_sum_start", "whether the compiler fused l*alpha with the first addition (FFMA)"},
    {"softmax.exponent",
     "whether the compiler fused the score's multiplication into the exponent's subtraction "
     "(FFMA)"},
    {"softmax.masked_score", "the number written to masked scores"},
    {"softmax.initial_max", "what m holds before the first block"},
    {"softmax.exp2", "the exponential: an exact one is no GPU instruction"},
    {"softmax.lse", "natural logarithm or log2 in the stored lse"},
    {"p.multiplier",
     "the constant that P is multiplied by before its cast, and its inverse in the "
     "epilogue"},
    {"p.offset", "the offset added to the exponent of P"},
    {"p.offset_enters", "whether m*u - offset is one FFMA, or the scores hold the offset"},
    {"p.apply", "whether P's factor stands in the exponent or multiplies the result"},
    {"p.group", "which elements of P share a scale"},
    {"p.scale", "the type that the scales of P's groups are stored in"},
    {"p.scale_rule", "how the scale of a group of P comes from its largest value"},
    {"p.enters", "whether P V reads codes or what they stand for"},
    {"p.rounding", "the rounding of the cast of P"},
    {"p.overflow", "satfinite on the cast of P"},
    {"p.format", "the type P is cast to before P V"},
    {"pv.promote_every",
     "after how many keys the tensor core's accumulator is added to an FP32 one"},
    {"pv.instruction",
     "the accumulator of P V: instruction, type and path (wgmma, mma.sync, FFMA)"},
    {"qk.instruction",
     "the accumulator of Q K^T: instruction, type and path (wgmma, mma.sync, FFMA)"},
    {"qk.scale_order", "where s_q, s_k and the softmax scale are multiplied"},
    {"qk.score_scale", "whether the kernel multiplies scores at all"},
    {"mask.kind", "which mask the kernel was launched with"},
    {"mask.order", "the order of tokens before the kernel"},
    {"mask.tile", "the extents of the mask tile and the order of its axes"},
    {"mask.window", "the window's extents: off by one, or axes exchanged"},
    {"mask.unit", "whether the window counts tiles or tokens"},
    {"mask.border", "what the window does at the grid's edge: clamp the centre or cut"},
    {"mask.centre", "whether the window lies around the query's tile or the key's"},
    {"mask.ragged", "how tiles that stick out of the grid are handled"},
    {"mask.causal", "the causal flag and on which side of the diagonal it masks"},
    {"predict.rule", "whether the predicted mask is used at all"},
    {"predict.select", "whether key blocks are kept by their mass or by their number"},
    {"predict.mass", "the share of the softmax weight that the kept key blocks hold"},
    {"predict.crossing", "whether the block at which the sum passes the mass is kept"},
    {"predict.least", "how many key blocks are kept in any case"},
    {"predict.share", "the share of key blocks that is kept"},
    {"predict.share_rounding", "whether the number of kept key blocks is rounded down or up"},
    {"predict.tail", "the share of the weight that the dropped key blocks stay below"},
    {"predict.ties", "which of two key blocks of equal score is kept"},
    {"predict.unit", "whether means are taken over blocks or over tiles"},
    {"predict.parts", "how many pieces of a block have means of their own"},
    {"predict.means", "the type that means are summed in and rounded to"},
    {"predict.scores", "the type of the products of means"},
    {"predict.centre", "whether k loses its token mean before its means are taken"},
    {"predict.text", "whether text tokens see and are seen by everything"},
    {"branch.kind", "whether the second branch is added at all"},
    {"branch.weight", "the gate or projection of the second branch"},
    {"branch.epsilon", "the number added to the linear branch's denominator"},
    {"branch.format", "the type of what the second branch's operations hand on"},
    {"predict.similarity", "the mean cosine from which a block's pooled row stands for its rows"},
    {"predict.sink", "whether the first key block is always kept"},
    {"predict.query_clusters", "the number of query clusters"},
    {"predict.key_clusters", "the number of key clusters"},
    {"predict.iterations", "how often centres are moved and tokens assigned again"},
    {"predict.rows", "the number of rows that the profile samples"},
    {"predict.seed", "the seed of sampled rows or first centres"},
    {"block.q", "the query rows of a CTA"},
    {"block.k", "the keys of a block: it decides where O is rescaled and promoted"},
    {"block.align", "whether blocks follow tiles or the sequence"},
    {"block.order", "the direction of the loop over key blocks"},
    {"block.listed", "the block size behind the list of partial and full blocks"},
    {"skip.rule", "the test that skips a block's exponentials and P V"},
    {"skip.threshold", "the threshold of that test"},
    {"skip.factor", "lambda: its factor, and the number of keys that divides it"},
    {"skip.rows", "which rows of a query block vote in that test"},
    {"finish.divisor", "whether the constant that P is multiplied by is divided out with l"},
    {"finish.cast", "whether the cast comes before or after v's scale"},
    {"finish.fully_masked", "what rows without keys get"},
    {"finish.multiplier", "the scale of the stored output"},
    {"output", "the type the output is rounded to"},
    {"subnormals", "-ftz on the FP32 operations"},
    {"format", "the type the operand is cast to"},
    {"group", "which elements share a scale"},
    {"tile", "the extents of the scale tile and the order of its axes"},
    {"rows", "how many rows share a scale"},
    {"scale", "the type scales are stored in"},
    {"scale_rule",
     "division by the format's largest value, multiplication by its inverse, or exponents alone"},
    {"code_rule", "whether codes come from x/s, x*(1/s) or x*(M/amax)"},
    {"guard", "what keeps an all-zero group from dividing by zero"},
    {"limit", "the code magnitude that amax maps to"},
    {"rounding", "the rounding of the operand's cast"},
    {"overflow", "satfinite on the operand's cast"},
    {"smooth", "whether the mean over tokens is subtracted, and its correction"},
    {"smooth_mean", "the type of the mean"},
    {"rotate", "the Hadamard rotation of Q and K"},
    {"rotate_seed", "the random signs of the rotation"},
};

}  // namespace

std::string advice(std::string_view field) {
  const std::string_view leaf = field.substr(field.rfind('.') + 1);
  for (const Advice& row : kAdvice)
    if (row.field == field) return std::string(row.look_for);
  for (const Advice& row : kAdvice)
    if (row.field == leaf) return std::string(row.look_for);
  return std::string(recipe::field(field).meaning);
}

}  // namespace karat::golden
