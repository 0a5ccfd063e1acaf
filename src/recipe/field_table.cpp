// The rows of the field table: one per field, in the order of the JSON form.
// A new field is a member in recipe.hpp, a row here, and the arithmetic that obeys it. Reading,
// printing, checking its value, comparing recipes and trying edits follow from the row.
#include "backward/fields.hpp"
#include "choices.hpp"
#include "field_rows.hpp"

namespace karat::recipe {
namespace {

template <auto kOperand>
void add_operand(std::vector<Field>& rows, const std::string& name) {
  using enum Decides;
  rows.insert(
      rows.end(),
      {choice_row<kOperandFormat, kOperand, &Operand::format>(
           {name + ".format", operands, "number format the operand enters the tensor core in",
            "FPSAttention: e4m3; SageAttention: int8; STA: bf16"}),
       choice_row<kGroup, kOperand, &Operand::group>({name + ".group", operands,
                                                      "elements that share one scale",
                                                      "FPSAttention Algorithm 1"}),
       extent_row<kOperand, &Operand::tile>(
           {name + ".tile", operands,
            "the scale tile in tokens t, h, w, for group tile; need not be mask.tile",
            "FPSAttention Algorithm 1, g(t)"}),
       integer_row<kOperand, &Operand::rows>(
           {name + ".rows", operands,
            "positions per group, for the groups of rows; divides the block",
            "SageAttention2: 32 and 64; sm90: 16 and 128"},
           1, kMaxCount),
       choice_row<kScaleFormat, kOperand, &Operand::scale>(
           {name + ".scale", operands,
            "format the scale s is stored in; M = the format's largest value",
            "open in FPSAttention"}),
       choice_row<kScaleRule, kOperand, &Operand::scale_rule>(
           {name + ".scale_rule", operands, "how s comes from amax",
            "open in FPSAttention; SageAttention2: divide"}),
       choice_row<kCodeRule, kOperand, &Operand::code_rule>(
           {name + ".code_rule", operands, "what is rounded to a code",
            "Algorithm 1: divide; SageAttention2: inverse_scale"}),
       choice_row<kGuard, kOperand, &Operand::guard>(
           {name + ".guard", operands, "what keeps an all-zero group from dividing by zero",
            "open in FPSAttention"}),
       number_row<kOperand, &Operand::limit>(
           {name + ".limit", operands,
            "M, the code magnitude amax maps to; 0: the format's largest value",
            "SageAttention2++: 2.25 for v"},
           0, kMaxFloat),
       number_row<kOperand, &Operand::multiplier>(
           {name + ".multiplier", operands, "scale_rule given: x times this is coded",
            "delayed scaling of cuDNN and TransformerEngine"},
           kSmallestMultiplier, kLargestMultiplier),
       choice_row<kEnters, kOperand, &Operand::enters>(
           {name + ".enters", operands, "what the tensor core reads of a coded operand",
            "Attn-QAT trains on dequantised codes: bf16"}),
       choice_row<kRounding, kOperand, &Operand::rounding>(
           {name + ".rounding", operands, "rounding to the operand's format", "cvt.rn"}),
       choice_row<kOverflow, kOperand, &Operand::overflow>(
           {name + ".overflow", operands,
            "what a value past the largest finite one becomes; implied by the format",
            "cvt.rn.satfinite; cvt.rn"}),
       choice_row<kSmooth, kOperand, &Operand::smooth>(
           {name + ".smooth", operands, "what is subtracted before quantising", "SageAttention"}),
       choice_row<kSmoothMean, kOperand, &Operand::smooth_mean>(
           {name + ".smooth_mean", operands, "type the mean is rounded to, once", "SageAttention"}),
       choice_row<kRotate, kOperand, &Operand::rotate>(
           {name + ".rotate", operands, "rotation of each token's channels before quantising",
            "FlashAttention-3 paper: incoherent processing"}),
       integer_row<kOperand, &Operand::rotate_seed>(
           {name + ".rotate_seed", operands, "seed of the rotation's random signs", ""}, 0,
           kMaxCount)});
}

std::vector<Field> make_fields() {
  using enum Decides;
  std::vector<Field> rows = {
      text_row<&Recipe::name>({"name", nothing, "what the recipe is called", ""}, Kind::text),
      text_row<&Recipe::about>({"about", nothing, "one line for people", ""}, Kind::text),
      choice_row<kMaskKind, &Recipe::mask, &Mask::kind>({"mask.kind", visits,
                                                         "which pairs of tokens are computed",
                                                         "FPSAttention Algorithm 1; STA"}),
      choice_row<kTokenSequence, &Recipe::mask, &Mask::order>(
          {"mask.order", order, "order of the tokens",
           "SparseVideoGen's temporal heads: token_major"}),
      extent_row<&Recipe::mask, &Mask::tile>(
          {"mask.tile", order,
           "mask tile in tokens t, h, w; also the token order ([1, 1, 1]: as given)",
           "STA: (6, 8, 8)"}),
      extent_row<&Recipe::mask, &Mask::window>(
          {"mask.window", visits, "window t, h, w in mask.unit", "STA: (3, 3, 3)"}),
      choice_row<kUnit, &Recipe::mask, &Mask::unit>(
          {"mask.unit", visits, "what the window counts", "open in FPSAttention; STA: tiles"}),
      choice_row<kBorder, &Recipe::mask, &Mask::border>(
          {"mask.border", visits, "what happens to a window at the edge of the grid",
           "STA, and FPSAttention's \"exactly M*|W| dense blocks\""}),
      choice_row<kCentre, &Recipe::mask, &Mask::centre>({"mask.centre", visits,
                                                         "whose tile the window lies around",
                                                         "STA; Algorithm 1 line 27 reads key"}),
      choice_row<kRagged, &Recipe::mask, &Mask::ragged>(
          {"mask.ragged", order, "tiles that stick out of the grid", "open in FPSAttention"}),
      number_row<&Recipe::mask, &Mask::band>(
          {"mask.band", order,
           "kind band: |query-key| <= this in band_unit, rounded up to 128 positions",
           "SparseVideoGen; the density is open"},
          0, kMaxFloat),
      choice_row<kBandUnit, &Recipe::mask, &Mask::band_unit>(
          {"mask.band_unit", order, "what mask.band counts", "SparseVideoGen: both"}),
      integer_row<&Recipe::mask, &Mask::band_first>(
          {"mask.band_first", order,
           "kind band: frames whose positions at the start all queries see",
           "SparseVideoGen's spatial heads: 1"},
          0, kMaxCount),
      choice_row<kCausal, &Recipe::mask, &Mask::causal>(
          {"mask.causal", order, "whether keys behind the query are masked too", "FlashAttention"}),
      choice_row<kPredictRule, &Recipe::predict, &Predict::rule>(
          {"predict.rule", order,
           "how a mask is made from each head's Q and K before its kernel runs",
           "SpargeAttn, SparseVideoGen"}),
      choice_row<kSelect, &Recipe::predict, &Predict::select>(
          {"predict.select", visits, "how many key blocks a query block keeps",
           "SpargeAttn: both"}),
      number_row<&Recipe::predict, &Predict::mass>(
          {"predict.mass", visits, "select mass: share of the softmax weight",
           "SpargeAttn cdfthreshd: 0.98; SparseVideoGen 2: 0.9"},
          0, kMaxFloat),
      choice_row<kCrossing, &Recipe::predict, &Predict::crossing>(
          {"predict.crossing", visits, "select mass: the block at which the sum passes it",
           "SpargeAttn: dropped; SparseVideoGen 2: kept"}),
      number_row<&Recipe::predict, &Predict::least>(
          {"predict.least", visits, "select mass: share of the key blocks kept in any case",
           "SparseVideoGen 2: 0.1"},
          0, kMaxFloat),
      number_row<&Recipe::predict, &Predict::share>(
          {"predict.share", visits, "select share: of the key blocks, at least one",
           "SpargeAttn topk: 0.5"},
          0, kMaxFloat),
      choice_row<kShareRounding, &Recipe::predict, &Predict::share_rounding>(
          {"predict.share_rounding", visits, "select share: how share times n becomes a number",
           "SpargeAttn: down; open in VSA, SLA and SubBlock"}),
      number_row<&Recipe::predict, &Predict::tail>(
          {"predict.tail", visits,
           "select tail: from the lightest on, blocks whose sum with those before is below this "
           "share are dropped",
           "NABLA: 0.1"},
          0, kMaxFloat),
      choice_row<kTies, &Recipe::predict, &Predict::ties>(
          {"predict.ties", visits, "which of two equal weights counts as heavier",
           "open: torch.topk and torch.sort do not say"}),
      number_row<&Recipe::predict, &Predict::similarity>(
          {"predict.similarity", visits,
           "rule similarity: blocks with a mean cosine not above this see and are seen by all",
           "SpargeAttn simthreshd1: 0.6; -0.1 with topk"},
          -kMaxFloat, kMaxFloat),
      choice_row<kSink, &Recipe::predict, &Predict::sink>(
          {"predict.sink", visits, "rule similarity: whether the first key block is always kept",
           "SpargeAttn"}),
      integer_row<&Recipe::predict, &Predict::query_clusters>(
          {"predict.query_clusters", order, "rule clusters: clusters of queries",
           "SparseVideoGen 2 for Wan: 300"},
          1, kMaxCount),
      integer_row<&Recipe::predict, &Predict::key_clusters>(
          {"predict.key_clusters", order, "rule clusters: clusters of keys",
           "SparseVideoGen 2 for Wan: 1000"},
          1, kMaxCount),
      integer_row<&Recipe::predict, &Predict::iterations>(
          {"predict.iterations", order, "rule clusters: Lloyd iterations",
           "open in SparseVideoGen 2"},
          0, kMaxCount),
      integer_row<&Recipe::predict, &Predict::rows>(
          {"predict.rows", order, "rule profile: sampled query rows", "SparseVideoGen: 32"}, 1,
          kMaxCount),
      integer_row<&Recipe::predict, &Predict::seed>(
          {"predict.seed", order, "of sampled rows and first centres", ""}, 0, kMaxCount),
      choice_row<kPredictUnit, &Recipe::predict, &Predict::unit>(
          {"predict.unit", operands, "rule means, branch coarse: what means are taken over",
           "VSA: tiles of 4x4x4; NABLA, SubBlock, SLA: blocks of 64"}),
      integer_row<&Recipe::predict, &Predict::parts>(
          {"predict.parts", visits,
           "rule means: pieces of a block with means of their own; a pair of blocks scores the "
           "log-sum-exp of theirs",
           "SubBlock: 4"},
          1, kMaxCount),
      choice_row<kMeans, &Recipe::predict, &Predict::means>({"predict.means", operands,
                                                             "rule means: arithmetic of the means",
                                                             "VSA: bf16; open elsewhere"}),
      choice_row<kMeanScores, &Recipe::predict, &Predict::scores>(
          {"predict.scores", visits, "rule means: arithmetic of their products", "open"}),
      choice_row<kCentreKeys, &Recipe::predict, &Predict::centre>(
          {"predict.centre", visits, "rule means: whether k loses its token mean first",
           "SLA: on"}),
      choice_row<kTextBlocks, &Recipe::predict, &Predict::text>(
          {"predict.text", visits, "rule means: blocks that hold text tokens",
           "VSA-H3: queries dense; open elsewhere"}),
  };
  add_operand<&Recipe::q>(rows, "q");
  add_operand<&Recipe::k>(rows, "k");
  add_operand<&Recipe::v>(rows, "v");
  std::vector<Field> rest = {
      text_row<&Recipe::qk, &Qk::instruction>(
          {"qk.instruction", scores,
           "tensor-core instruction of Q K^T; implied by q.format and k.format", "Hopper"},
          Kind::instruction),
      choice_row<kScaleOrder, &Recipe::qk, &Qk::scale_order>(
          {"qk.scale_order", operands, "where s_q, s_k and c = d^-1/2 log2 e enter",
           "open in FPSAttention"}),
      choice_row<kScoreScale, &Recipe::qk, &Qk::score_scale>(
          {"qk.score_scale", scores, "whether they enter at all",
           "Algorithm 1 line 28, read literally: omitted"}),
      choice_row<kExp2, &Recipe::softmax, &Softmax::exp2>(
          {"softmax.exp2", softmax, "how 2^x is computed",
           "fast-math kernels: mufu; which cut is open; the checker leaves 2 ulp free"}),
      number_row<&Recipe::softmax, &Softmax::rescale_threshold>(
          {"softmax.rescale_threshold", softmax,
           "the old maximum stays while m' - m <= this (log2 units)",
           "FlashAttention-3, later variant: 4"},
          0, kMaxFloat),
      number_or_minus_infinity_row<&Recipe::softmax, &Softmax::masked_score>(
          {"softmax.masked_score", scores, "score of a masked pair", "SageAttention2: -5e6"}),
      number_or_minus_infinity_row<&Recipe::softmax, &Softmax::initial_max>(
          {"softmax.initial_max", softmax, "the maximum before the first block",
           "SageAttention2: -5e6"}),
      choice_row<kExponent, &Recipe::softmax, &Softmax::exponent>(
          {"softmax.exponent", softmax, "what P is 2 to the power of, R what the maximum gives",
           "Triton with FP fusion, SageAttention2 on sm90: accumulator"}),
      choice_row<kRowSum, &Recipe::softmax, &Softmax::row_sum>(
          {"softmax.row_sum", softmax, "which P the row sum l adds",
           "open in FPSAttention; SageAttention2"}),
      choice_row<kRowSumOrder, &Recipe::softmax, &Softmax::row_sum_order>(
          {"softmax.row_sum_order", softmax, "order of the row sum's additions",
           "FlashAttention-3"}),
      choice_row<kRowSumStart, &Recipe::softmax, &Softmax::row_sum_start>(
          {"softmax.row_sum_start", softmax, "a block's first addition to each partial sum",
           "FlashAttention-2 and -3 as compiled: fused_first"}),
      choice_row<kLse, &Recipe::softmax, &Softmax::lse>(
          {"softmax.lse", finish, "unit of the stored log-sum-exp", "FlashAttention: natural"}),
      choice_row<kPFormat, &Recipe::p, &P::format>(
          {"p.format", softmax, "number format of P in P V", "FPSAttention, SageAttention2: e4m3"}),
      number_row<&Recipe::p, &P::multiplier>(
          {"p.multiplier", softmax, "apply multiply: P times this is coded, divided out at the end",
           "open in FPSAttention; 448 by readers' accounts"},
          kMinFloat, kMaxFloat),
      number_row<&Recipe::p, &P::offset>(
          {"p.offset", scores, "apply exponent_offset: log2 units added to the exponent of P",
           "SageAttention2: 8.807; FlashAttention-3: 8"},
          -kMaxFloat, kMaxFloat),
      choice_row<kPApply, &Recipe::p, &P::apply>(
          {"p.apply", softmax, "how P fills the range of its format",
           "SageAttention2, FlashAttention-3: exponent_offset"}),
      choice_row<kOffsetEnters, &Recipe::p, &P::offset_enters>(
          {"p.offset_enters", scores, "where the offset meets the maximum m (times u) or the score",
           "FlashAttention-3 as compiled: fused; SageAttention2 on sm90: scores"}),
      choice_row<kPGroup, &Recipe::p, &P::group>({"p.group", softmax,
                                                  "elements of P that share one scale",
                                                  "Attn-QAT: channels_16; SageBwd: token"}),
      choice_row<kScaleFormat, &Recipe::p, &P::scale>(
          {"p.scale", softmax, "groups: format the scale s is stored in", "Attn-QAT: e4m3"}),
      choice_row<kPScaleRule, &Recipe::p, &P::scale_rule>(
          {"p.scale_rule", softmax, "groups: how s comes from amax; codes are RN(fl(P/s))",
           "open in SageBwd"}),
      choice_row<kEnters, &Recipe::p, &P::enters>(
          {"p.enters", softmax, "groups: what the tensor core reads of P", "Attn-QAT: bf16"}),
      choice_row<kRounding, &Recipe::p, &P::rounding>(
          {"p.rounding", softmax, "rounding of P to its format", "cvt.rn"}),
      choice_row<kOverflow, &Recipe::p, &P::overflow>(
          {"p.overflow", softmax,
           "what a value past the largest finite one becomes; implied by the format",
           "cvt.rn.satfinite; cvt.rn"}),
      text_row<&Recipe::pv, &Pv::instruction>(
          {"pv.instruction", product,
           "tensor-core instruction of P V; implied by p.format and v.format", "Hopper"},
          Kind::instruction),
      integer_row<&Recipe::pv, &Pv::promote_every>(
          {"pv.promote_every", product,
           "keys after which the accumulator is added to an FP32 O; 0 = never",
           "open in FPSAttention; SageAttention2 sm90: 128"},
          0, kMaxCount),
      integer_row<&Recipe::block, &Block::q>(
          {"block.q", order, "query rows a softmax step handles", "STA: 64-row subtiles"}, 1,
          kMaxCount),
      integer_row<&Recipe::block, &Block::k>(
          {"block.k", order, "keys a softmax step handles", "STA: 128"}, 1, kMaxCount),
      choice_row<kAlign, &Recipe::block, &Block::align>(
          {"block.align", order, "what blocks follow", "STA: tile"}),
      choice_row<kKeyOrder, &Recipe::block, &Block::order>(
          {"block.order", visits, "order of a query block's key blocks", "STA: ascending"}),
      integer_row<&Recipe::block, &Block::listed>(
          {"block.listed", visits,
           "partial_then_full sorts by blocks of this many positions; 0: q, k",
           "FlexAttention: 128"},
          0, kMaxCount),
      choice_row<kSkipRule, &Recipe::skip, &Skip::rule>(
          {"skip.rule", softmax, "visited blocks left out once their scores are known",
           "SpargeAttn; BLASST; LiteAttention"}),
      number_row<&Recipe::skip, &Skip::threshold>(
          {"skip.threshold", softmax, "for skip.rule block_maximum and next_step, log2 units",
           "SpargeAttn pvthreshd: 50; LiteAttention: 10"},
          -kMaxFloat, kMaxFloat),
      number_row<&Recipe::skip, &Skip::factor>(
          {"skip.factor", softmax, "for skip.rule exponential: lambda times the number of keys",
           "BLASST: a*exp(b*target sparsity) of a layer's calibration; open"},
          0, kMaxFloat),
      integer_row<&Recipe::skip, &Skip::rows>(
          {"skip.rows", softmax,
           "the last rows of a full query block, which alone decide; 0: all rows do",
           "LiteAttention: those of the last warpgroup"},
          0, kMaxCount),
      choice_row<kReciprocal, &Recipe::finish, &Finish::reciprocal>(
          {"finish.reciprocal", finish, "how o is divided by l",
           "fast-math kernels: mufu; Triton: div_full"}),
      choice_row<kDivisor, &Recipe::finish, &Finish::divisor>(
          {"finish.divisor", finish, "what o is divided by, and what is left for the scale",
           "open in FPSAttention"}),
      choice_row<kLogarithm, &Recipe::finish, &Finish::logarithm>(
          {"finish.logarithm", finish, "how the log-sum-exp is computed",
           "__logf of fast-math kernels: mufu; the order of its f32 operations is open"}),
      choice_row<kCast, &Recipe::finish, &Finish::cast>(
          {"finish.cast", finish, "whether the cast to output comes before v's scale",
           "a literal FlexAttention template: before_scale"}),
      choice_row<kFullyMasked, &Recipe::finish, &Finish::fully_masked>(
          {"finish.fully_masked", finish, "output of a row whose sum l is 0",
           "FlexAttention: zero"}),
      number_row<&Recipe::finish, &Finish::multiplier>(
          {"finish.multiplier", finish, "o times this is cast", "cuDNN scale_O"},
          kSmallestMultiplier, kLargestMultiplier),
      choice_row<kBranchKind, &Recipe::branch, &Branch::kind>(
          {"branch.kind", operands, "what is added to the sparse kernel's output, once it is cast",
           "SLA: linear; VSA: coarse"}),
      number_row<&Recipe::branch, &Branch::weight>(
          {"branch.weight", finish, "the branch times this is added",
           "open: VSA's gate and SLA's projection are trained"},
          -kMaxFloat, kMaxFloat),
      number_row<&Recipe::branch, &Branch::epsilon>(
          {"branch.epsilon", operands, "kind linear: added to the denominator", "SLA: 1e-5"}, 0,
          kMaxFloat),
      choice_row<kBranchFormat, &Recipe::branch, &Branch::format>(
          {"branch.format", operands, "format of what the branch's operations hand on",
           "open: VSA and SLA run in BF16"}),
      choice_row<kOutput, &Recipe::output>(
          {"output", finish, "number format of the output", "Wan2.1: bf16"}),
      choice_row<kSubnormals, &Recipe::subnormals>(
          {"subnormals", operands, "subnormal FP32 results outside the tensor core",
           "ftz of fast-math kernels"}),
  };
  rows.insert(rows.end(), rest.begin(), rest.end());
  add_backward_fields(rows);
  return rows;
}

}  // namespace

std::span<const Field> fields() {
  static const std::vector<Field> rows = make_fields();
  return rows;
}

}  // namespace karat::recipe
