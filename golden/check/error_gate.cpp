// Sums of squared errors by group.
#include "error_gate.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "karat/numerics/formats/format.hpp"

namespace karat::golden {
namespace {

/// Typical rows that a small group's error may be larger by.
constexpr double kTypicalRows = 4;

struct Group {
  double truth = 0, golden = 0, candidate = 0;
  void add(const TruthRow& row) {
    truth += row.truth;
    golden += row.golden;
    candidate += row.candidate;
  }
};

std::vector<std::int32_t> block_at(const GateGroups& groups) {
  std::vector<std::int32_t> blocks(groups.order.positions());
  std::int32_t number = 0;
  for (const video::Range range : groups.blocks)
    std::fill(blocks.begin() + range.begin, blocks.begin() + range.end, number++);
  return blocks;
}

}  // namespace

std::optional<TruthRow> truth_row(std::int32_t token, std::span<const double> truth,
                                  std::span<const float> golden, std::span<const float> candidate) {
  TruthRow row{.token = token, .truth = 0, .golden = 0, .candidate = 0};
  const auto add = [](double& sum, double x) { sum += x * x; };
  for (std::size_t j = 0; j < truth.size(); ++j) {
    if (!std::isfinite(truth[j]) || !std::isfinite(golden[j])) return std::nullopt;
    add(row.truth, truth[j]);
    add(row.golden, golden[j] - truth[j]);
    add(row.candidate, candidate[j] - truth[j]);
  }
  if (std::isnan(row.candidate)) row.candidate = std::numeric_limits<double>::infinity();
  return row;
}

std::optional<Doubt> beyond(double ratio, const GateGroups& groups, numerics::FormatId output,
                            std::span<const TruthRow> rows) {
  if (rows.empty()) return std::nullopt;
  Group head;
  for (const TruthRow& row : rows) head.add(row);
  const double rounding = std::ldexp(1.0, -1 - numerics::format(output).fraction_bits);
  const double least = rounding * rounding / 3 / 4;  // of a group's truth
  const auto error_of = [&](const Group& group) {
    return std::max(group.golden, least * group.truth);
  };
  const double typical = kTypicalRows * error_of(head) / static_cast<double>(rows.size());
  std::optional<Doubt> worst;
  const auto judge = [&](const Group& group, double more, Doubt::Scope scope, Location at) {
    const double base = error_of(group) + more;
    if (group.candidate <= ratio * ratio * base) return;
    const double found = std::sqrt(group.candidate / base);
    if (worst && !(found > worst->found)) return;
    worst = Doubt{
        .reason = Doubt::Reason::error, .scope = scope, .at = at, .found = found, .allowed = ratio};
  };
  judge(head, 0, Doubt::Scope::head, {});
  const auto block_of = [&](Location& at) -> std::optional<std::int64_t>& {
    return groups.side == Side::key ? at.key_block : at.query_block;
  };
  const std::vector<std::int32_t> blocks = block_at(groups);
  std::vector<Group> by_block(groups.blocks.size());
  for (const TruthRow& row : rows) {
    const std::int32_t block = blocks[groups.order.position_of[row.token]];
    by_block[block].add(row);
    Group alone;
    alone.add(row);
    Location at;
    block_of(at) = block;
    at.token = row.token;
    judge(alone, typical, Doubt::Scope::row, at);
  }
  for (std::size_t b = 0; b < by_block.size(); ++b) {
    Location at;
    block_of(at) = static_cast<std::int64_t>(b);
    judge(by_block[b], typical, Doubt::Scope::block, at);
  }
  return worst;
}

}  // namespace karat::golden
