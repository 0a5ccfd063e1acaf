// Work of a head when nothing but causality removes blocks.
#include <algorithm>
#include <cmath>
#include <string>

#include "karat/hopper/plan.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::hopper {

void validate(const Shape& shape) {
  const auto positive = [](const char* field, double value) {
    if (value > 0) return;
    throw Error(ErrorKind::usage, std::string("shape.") + field,
                "is " + std::to_string(std::llround(value)), "give a positive number");
  };
  positive("batch", shape.batch);
  positive("heads", shape.heads);
  positive("queries", static_cast<double>(shape.queries));
  positive("keys", static_cast<double>(shape.keys));
  positive("head_dim", shape.head_dim);
  if (shape.kv_heads < 0 || shape.heads % shape.key_heads() != 0) {
    throw Error(ErrorKind::usage, "shape.kv_heads",
                std::to_string(shape.kv_heads) + " does not divide " + std::to_string(shape.heads) +
                    " heads",
                "give a divisor");
  }
}

namespace {

constexpr std::int64_t kMostCausalRuns = 4096;

}  // namespace

std::vector<TileRun> dense_work(const Plan& plan, const Shape& shape) {
  const bool keys = plan.keys_outside();
  const std::int64_t outside = keys ? shape.keys : shape.queries;
  const std::int64_t inside = keys ? shape.queries : shape.keys;
  const std::int64_t outer = plan.outer(), inner = plan.inner();
  const std::int64_t tiles = (outside + outer - 1) / outer;
  const int blocks = static_cast<int>((inside + inner - 1) / inner);
  // The block at the end is compared with it.
  if (shape.causality == Causality::none) return {{tiles, blocks, 1.0 / blocks}};
  const std::int64_t offset = shape.keys - shape.queries;  // the last query sees the last key
  const auto seen = [&](std::int64_t tile) {
    if (keys) {  // the queries from the first one that sees the tile's first key
      const std::int64_t first = std::max<std::int64_t>(0, tile * outer - offset);
      return std::clamp<std::int64_t>(blocks - first / inner, 1, blocks);
    }
    const std::int64_t last = std::min((tile + 1) * outer, outside) + offset;
    return std::clamp<std::int64_t>((last + inner - 1) / inner, 1, blocks);
  };
  std::vector<TileRun> runs;
  const auto append = [&](std::int64_t count, std::int64_t visited) {
    if (count <= 0) return;
    const double on_diagonal = std::ceil(double(outer) / static_cast<double>(inner));
    runs.push_back({count, static_cast<int>(visited),
                    std::min(1.0, on_diagonal / static_cast<double>(visited))});
  };
  // Long heads: neighbouring tiles as one or two runs around their mean, keeping their sum.
  const std::int64_t together = (tiles + kMostCausalRuns - 1) / kMostCausalRuns;
  for (std::int64_t tile = 0; tile < tiles; tile += together) {
    const std::int64_t count = std::min(together, tiles - tile);
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += seen(tile + i);
    const std::int64_t longer = sum % count;
    append(count - longer, sum / count);
    append(longer, sum / count + 1);
  }
  return runs;
}

}  // namespace karat::hopper
