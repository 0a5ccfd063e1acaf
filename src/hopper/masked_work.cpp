// Which key blocks the tiles of a question's plan visit: all, those of a mask over the grid, or a
// share of them.
#include "masked_work.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "karat/layout/arrangement.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::hopper {

bool listed(const recipe::Recipe& r) {
  if (r.mask.kind == recipe::MaskKind::given) {
    throw Error(ErrorKind::usage, "mask.kind", "\"given\" says nothing about the work",
                "choose a recipe whose mask follows from the grid");
  }
  return r.mask.kind != recipe::MaskKind::none;
}

bool predicted(const recipe::Recipe& r) { return r.predict.rule != recipe::PredictRule::never; }

bool by_density(const Question& q) {
  return predicted(q.recipe) || (takes_density(q.recipe) && q.density);
}

Shape shape_of(const Question& q) {
  Shape shape = q.shape;
  if (q.recipe.mask.causal == recipe::Causal::on) shape.causality = Causality::causal;
  return shape;
}

namespace {

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
  // Of the video alone: text fills blocks of its own behind it. Everything visits them; where the
  // launch is causal, only text does.
  const bool causal = shape_of(q).causality == Causality::causal;
  recipe::Mask spec = q.recipe.mask;
  if (causal) spec.causal = recipe::Causal::on;
  const layout::Arrangement among_video = layout::arrange(spec, {.grid = *q.grid});
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
  const int beside_video = causal && !keys ? 0 : text_inside;
  MaskedWork out;
  for (const auto& [visited, partial] : visits(map, keys)) {
    const int blocks = visited + beside_video;
    // Shares are kept in sixteenths so that equal tiles stay one run.
    const double share = blocks > 0 ? std::round(16.0 * double(partial) / blocks) / 16 : 0;
    append(out.work.head, {1, blocks, share});
  }
  const std::size_t inside = keys ? map.rows.size() : map.key_blocks.size();
  const int all = static_cast<int>(inside) + text_inside;
  const int text_tiles = blocks_for(q.text_tokens, plan.outer());
  if (text_tiles > 0) append(out.work.head, {text_tiles, causal && keys ? text_inside : all, 0});
  out.work.unique_key_blocks = all;
  out.work.listed = true;
  const double tokens = static_cast<double>(order.tokens()), text = q.text_tokens;
  const double among_text = causal ? text * (text + 1) / 2 : text * text;
  out.kept_pairs = static_cast<double>(among_video.mask->kept_pairs()) +
                   (causal ? 1 : 2) * tokens * text + among_text;
  return out;
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

}  // namespace karat::hopper
