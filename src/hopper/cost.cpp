// From a recipe to a plan, its work, and the answer.
#include "karat/hopper/cost.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <utility>

#include "karat/hopper/calibration.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/format.hpp"
#include "list_plan.hpp"

namespace karat::hopper {
namespace {

using numerics::FormatId;

Element element_of(FormatId format, const char* field) {
  switch (format) {
    case FormatId::bf16:
    case FormatId::f16:
      return Element::bf16;
    case FormatId::e4m3:
    case FormatId::e5m2:
      return Element::fp8;
    case FormatId::int8:
      return Element::int8;
    default:
      throw Error(ErrorKind::usage, std::string(field) + ".format",
                  "has no Hopper attention kernel in this format",
                  "use bf16, f16, e4m3, e5m2 or int8");
  }
}

/// What a mask lists one by one. Both lie far beyond any launch the model was held against: 75600
/// tokens are 1182 x 591 blocks.
constexpr double kMostTiles = 1 << 22;       ///< query tiles of a launch
constexpr double kMostBlockPairs = 1 << 23;  ///< of a query block and a key block of one head

void require_at_most(double most, double count, const std::string& subject,
                     const std::string& what) {
  if (count <= most) return;
  throw Error(ErrorKind::usage, subject,
              "makes " + std::to_string(std::llround(count)) + " " + what +
                  ", the time model takes " + std::to_string(std::llround(most)) + " at most",
              "ask about a smaller shape");
}

void require_tiles(double of_head, const Shape& shape) {
  require_at_most(kMostTiles, of_head * shape.batch * shape.heads, "shape",
                  "query tiles, batch and heads together");
}

/// Equal tiles are counted, not walked: only what overflows is refused.
void require_countable(const Plan& plan, const Shape& shape) {
  constexpr double kMostTokens = 4294967296.0;  // 2^32
  constexpr double kMostCounted = 1e15;
  require_at_most(kMostTokens, static_cast<double>(std::max(shape.queries, shape.keys)), "shape",
                  "tokens");
  require_at_most(kMostCounted,
                  std::ceil(double(shape.queries) / plan.block_q) * shape.batch * shape.heads,
                  "shape", "query tiles, batch and heads together");
}

void require_block_pairs(double queries, double keys, video::Extent3 grid) {
  require_at_most(kMostBlockPairs, queries * keys, "grid " + video::to_string(grid),
                  "pairs of a query block and a key block");
}

/// A mask over the grid, listed block by block.
bool listed(const recipe::Recipe& r) {
  if (r.mask.kind == recipe::MaskKind::given) {
    throw Error(ErrorKind::usage, "mask.kind", "\"given\" says nothing about the work",
                "choose a recipe whose mask follows from the grid");
  }
  return r.mask.kind != recipe::MaskKind::none;
}

/// Recipes may be causal by themselves.
Shape shape_of(const Question& q) {
  Shape shape = q.shape;
  if (q.recipe.mask.causal == recipe::Causal::on) shape.causality = Causality::causal;
  return shape;
}

/// FP32 operations per score that the softmax itself does not have.
double extra_per_score(const recipe::Recipe& r) {
  const bool scaled = element_of(r.k.format, "k") != Element::bf16;
  const bool columns =
      scaled && (r.k.group == quant::Group::token ||
                 (r.k.group == quant::Group::tile && r.block.align == video::Align::sequence));
  const bool multiplied = r.p.apply == recipe::PApply::multiply && r.p.multiplier != 1;
  return (columns ? 1 : 0) + (multiplied ? 1 : 0);
}

/// Consecutive equal tiles as one run.
void append(std::vector<TileRun>& runs, TileRun run) {
  if (!runs.empty() && runs.back().blocks == run.blocks &&
      runs.back().masked_share == run.masked_share) {
    runs.back().tiles += run.tiles;
  } else {
    runs.push_back(run);
  }
}

int blocks_for(std::int64_t tokens, int block) {
  return static_cast<int>((tokens + block - 1) / block);
}

/// Blocks that a tile visits, and those of them that hold masked pairs.
struct Visits {
  int blocks = 0, partial = 0;
};
/// Per query block, or per key block where keys are outside.
std::vector<Visits> visits(const mask::BlockMap& map, bool keys) {
  std::vector<Visits> out(keys ? map.key_blocks.size() : map.rows.size());
  for (std::size_t row = 0; row < map.rows.size(); ++row) {
    for (const auto& entry : map.rows[row]) {
      Visits& tile = out[keys ? static_cast<std::size_t>(entry.key_block) : row];
      ++tile.blocks;
      tile.partial += entry.cover == mask::Cover::partial;
    }
  }
  return out;
}

MaskedWork listed_work(const Question& q, const Plan& plan) {
  if (!q.grid) {
    throw Error(ErrorKind::usage, "grid", "is missing, and the recipe's mask lies over one",
                "give --grid T,H,W or --model and --resolution");
  }
  const double tokens_of_grid = double(q.grid->t) * q.grid->h * q.grid->w;
  require_tiles(std::ceil(tokens_of_grid / plan.block_q), q.shape);
  require_block_pairs(std::ceil(tokens_of_grid / plan.block_q),
                      std::ceil(tokens_of_grid / plan.block_k), *q.grid);
  // Of the video alone: text fills blocks of its own, which everything visits.
  const layout::Arrangement among_video = layout::arrange(q.recipe.mask, {.grid = *q.grid});
  const video::TokenOrder& order = among_video.order;
  if (order.tokens() + q.text_tokens != q.shape.queries || q.shape.queries != q.shape.keys) {
    throw Error(ErrorKind::usage, "grid",
                video::to_string(*q.grid) + " holds " + std::to_string(order.tokens()) +
                    " tokens, the shape " + std::to_string(q.shape.queries),
                "make them agree");
  }
  auto query_blocks = cut_blocks(order, plan.block_q, q.recipe.block.align);
  auto key_blocks = cut_blocks(order, plan.block_k, q.recipe.block.align);
  // Small tiles, and padding, make more blocks than the tokens alone.
  require_tiles(static_cast<double>(query_blocks.size()), q.shape);
  require_block_pairs(static_cast<double>(query_blocks.size()),
                      static_cast<double>(key_blocks.size()), *q.grid);
  const mask::BlockMap map =
      mask::block_map(*among_video.mask, std::move(query_blocks), std::move(key_blocks));
  const bool keys = plan.keys_outside();
  const int text_inside = blocks_for(q.text_tokens, plan.inner());
  MaskedWork out;
  for (const auto& [visited, partial] : visits(map, keys)) {
    const int blocks = visited + text_inside;
    // Shares are kept in sixteenths so that equal tiles stay one run.
    const double share = blocks > 0 ? std::round(16.0 * double(partial) / blocks) / 16 : 0;
    append(out.work.head, {1, blocks, share});
  }
  const std::size_t inside = keys ? map.rows.size() : map.key_blocks.size();
  const int all = static_cast<int>(inside) + text_inside;
  const int text_tiles = blocks_for(q.text_tokens, plan.outer());
  if (text_tiles > 0) append(out.work.head, {text_tiles, all, 0});
  out.work.unique_key_blocks = all;
  out.work.listed = true;
  const double tokens = static_cast<double>(order.tokens()), text = q.text_tokens;
  out.kept_pairs =
      static_cast<double>(among_video.mask->kept_pairs()) + tokens * text + text * (tokens + text);
  return out;
}

bool predicted(const recipe::Recipe& r) { return r.predict.rule != recipe::PredictRule::never; }

/// Lists of blocks, known by their share alone.
bool by_density(const Question& q) {
  return predicted(q.recipe) || (takes_density(q.recipe) && q.density);
}

double predicted_density(const Question& q) {
  const recipe::Predict& rule = q.recipe.predict;
  if (q.density) {
    if (*q.density > 0 && *q.density <= 1) return *q.density;
    throw Error(ErrorKind::usage, "density", "is no share of the key blocks above 0 and up to 1",
                "give one, for example 0.25");
  }
  if (rule.rule == recipe::PredictRule::means && rule.select == recipe::Select::share &&
      q.recipe.mask.kind == recipe::MaskKind::none)
    return std::min(1.0, double{rule.share});
  throw Error(ErrorKind::usage, "recipe " + q.recipe.name,
              "its mask is predicted from Q and K, and there are no tensors here",
              "say which share of the key blocks it keeps (density), or choose a recipe without "
              "predict.rule");
}

MaskedWork predicted_work(const Question& q, const Plan& plan) {
  require_countable(plan, q.shape);
  if (shape_of(q).causality == Causality::causal) {
    throw Error(ErrorKind::usage, "causal",
                "stands beside a predicted mask, and how many of the blocks before each query are "
                "kept is not known",
                "leave it out, or choose a recipe without predict.rule");
  }
  const double density = predicted_density(q);
  const double queries = static_cast<double>(q.shape.queries);
  const double keys = static_cast<double>(q.shape.keys);
  const int all = blocks_for(plan.keys_outside() ? q.shape.queries : q.shape.keys, plan.inner());
  const int tiles = blocks_for(plan.keys_outside() ? q.shape.keys : q.shape.queries, plan.outer());
  const int kept = std::max(1, static_cast<int>(std::ceil(density * all)));
  MaskedWork out;
  append(out.work.head, {tiles, kept, 0});
  out.work.unique_key_blocks = all;
  out.work.listed = true;
  out.kept_pairs = density * queries * keys;
  return out;
}

MaskedWork all_work(const Question& q, const Plan& plan) {
  MaskedWork out;
  const Shape shape = shape_of(q);
  require_countable(plan, shape);
  out.work.head = dense_work(plan, shape);
  const double queries = static_cast<double>(q.shape.queries);
  const double keys = static_cast<double>(q.shape.keys);
  out.kept_pairs = queries * keys;
  if (shape.causality == Causality::causal) {
    const double seen = std::min(queries, keys);  // queries that see a triangle
    out.kept_pairs = seen * (seen + 1) / 2 + seen * std::max(0.0, keys - queries);
  }
  return out;
}

}  // namespace

Kernel implied_kernel(const recipe::Recipe& recipe) {
  const Element q = element_of(recipe.q.format, "q");
  const Element v = element_of(recipe.v.format, "v");
  if (recipe.qk.instruction.starts_with("ampere.")) return Kernel::fa2;
  if (q == Element::int8) return Kernel::sage2;
  if (recipe.block.order == recipe::KeyOrder::partial_then_full) return Kernel::flex;
  // FlashAttention-3 promotes nothing, and its FP8 tiles leave no registers for it.
  const bool promoted = v != Element::bf16 && recipe.pv.promote_every > 0;
  const bool skips = predicted(recipe) || listed(recipe);
  if (!skips) return promoted ? Kernel::fpsattention : Kernel::fa3;
  return v == Element::bf16 ? Kernel::sta : Kernel::fpsattention;
}

bool takes_density(const recipe::Recipe& recipe) {
  return predicted(recipe) || recipe.skip.rule == recipe::SkipRule::next_step;
}

namespace {

Plan plan_with(const Question& q, OpenStructure structure) {
  const Element v = element_of(q.recipe.v.format, "v");
  const PlanRequest request{.kernel = q.kernel.value_or(implied_kernel(q.recipe)),
                            .head_dim = q.shape.head_dim,
                            .qk = element_of(q.recipe.q.format, "q"),
                            .pv = v,
                            .causality = listed(q.recipe) ? Causality::none : shape_of(q).causality,
                            .promote_every = v == Element::bf16 ? 0 : q.recipe.pv.promote_every,
                            .extra_per_score = extra_per_score(q.recipe),
                            .lengths = q.lengths,
                            .splits = q.splits};
  if (!by_density(q)) return make_plan(request, q.machine);
  return list_plan(request, q.recipe.block.q, q.recipe.block.k, structure, q.machine);
}

}  // namespace

Plan plan_of(const Question& q) { return plan_with(q, OpenStructure::assumed); }

MaskedWork work_of(const Question& q, const Plan& plan) {
  validate(q.shape);
  if (q.density && !takes_density(q.recipe)) {
    throw Error(
        ErrorKind::usage, "density",
        "is about masks predicted from Q and K, and recipe " + q.recipe.name + " predicts none",
        "leave it out, or choose a recipe with predict.rule or skip.rule next_step");
  }
  MaskedWork out = by_density(q)      ? predicted_work(q, plan)
                   : listed(q.recipe) ? listed_work(q, plan)
                                      : all_work(q, plan);
  out.work.copies = std::int64_t{q.shape.batch} * q.shape.heads;
  for (const TileRun& run : out.work.head) {
    out.padded_pairs += double(run.tiles) * run.blocks * plan.block_q * plan.block_k;
  }
  return out;
}

Question dense_bf16(Question q) {
  q.recipe = recipe::Recipe{};
  q.density.reset();
  q.recipe.mask.kind = recipe::MaskKind::none;
  q.recipe.mask.tile = {1, 1, 1};
  q.recipe.q.format = q.recipe.k.format = q.recipe.v.format = FormatId::bf16;
  q.kernel = Kernel::fa3;
  return q;
}

namespace {

double milliseconds(const Question& q, const Plan& plan) {
  const LaunchTime launch =
      launch_time(q.machine, q.timing, plan, shape_of(q), work_of(q, plan).work);
  return calibrated_us(q.machine, plan, shape_of(q), launch) * 1e-3;
}

}  // namespace

double attention_ms(const Question& q) { return milliseconds(q, plan_of(q)); }

AttentionCost attention_cost(const Question& q, Detail detail) {
  AttentionCost cost;
  cost.plan = plan_of(q);
  const MaskedWork masked = work_of(q, cost.plan);
  cost.launch = launch_time(q.machine, q.timing, cost.plan, shape_of(q), masked.work);
  const auto calibrated_ms = [&](const LaunchTime& launch) {
    return calibrated_us(q.machine, cost.plan, shape_of(q), launch) * 1e-3;
  };
  cost.time_ms = calibrated_ms(cost.launch);
  if (q.machine.calibration) {
    constexpr double kNineOfTen = 1.645;  // of a normal distribution, in standard deviations
    const double share = std::exp(kNineOfTen * q.machine.calibration->spread);
    cost.low_ms = cost.time_ms / share, cost.high_ms = cost.time_ms * share;
  }
  if (by_density(q)) {
    const double a = milliseconds(q, plan_with(q, OpenStructure::fastest));
    const double b = milliseconds(q, plan_with(q, OpenStructure::slowest));
    std::tie(cost.open_low_ms, cost.open_high_ms) = std::minmax({a, b, cost.time_ms});
  }
  const double flop_per_pair = 4.0 * q.shape.head_dim * static_cast<double>(masked.work.copies);
  const double all = static_cast<double>(q.shape.queries) * static_cast<double>(q.shape.keys);
  cost.tflops = flop_per_pair * masked.kept_pairs / cost.time_ms * 1e-9;
  cost.padded_tflops = flop_per_pair * masked.padded_pairs / cost.time_ms * 1e-9;
  cost.peak_share = cost.tflops / (cost.plan.qk == Element::bf16 ? q.machine.bf16_peak_tflops()
                                                                 : q.machine.fp8_peak_tflops());
  cost.density = masked.kept_pairs / all;
  cost.padded_density = masked.padded_pairs / all;
  cost.dense_bf16_ms = attention_ms(dense_bf16(q));
  cost.speedup = cost.dense_bf16_ms / cost.time_ms;
  if (detail == Detail::time) return cost;
  for (int part = 0; part < kParts; ++part) {
    const LaunchTime without = launch_time_without(static_cast<Part>(part), q.machine, q.timing,
                                                   cost.plan, shape_of(q), masked.work);
    cost.savings.push_back({static_cast<Part>(part), cost.time_ms - calibrated_ms(without)});
  }
  std::stable_sort(cost.savings.begin(), cost.savings.end(),
                   [](const Saving& a, const Saving& b) { return a.ms > b.ms; });
  return cost;
}

}  // namespace karat::hopper
