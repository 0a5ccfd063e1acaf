// Deviations of the candidate and of legal kernels, block by block.
#include "block_spread.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "deviation.hpp"
#include "legal_draws.hpp"

namespace karat::golden {
namespace {

/// Blocks run at first, and at most thereafter for the sake of what exceeds their spread.
constexpr std::size_t kSampled = 4, kSuspects = 8;

/// One stage's deviations, of the candidate and of the kernels run so far.
struct Judge {
  Judge(const SpreadRows& of, LegalRuns& from) : rows(of), runs(from) {
    const double ulp = std::ldexp(1.0, -numerics::format(rows.format).fraction_bits);
    least_value = squared(ulp);
    least_row = least_value / static_cast<double>(rows.channels);
    blocks.resize(rows.blocks.size());
    for (std::size_t b = 0; b < blocks.size(); ++b)
      for (std::int64_t at = rows.blocks[b].begin; at < rows.blocks[b].end; ++at) {
        const std::int32_t token = rows.order.token_at[at];
        if (token < 0 || !rows.considered(token)) continue;
        Row row{.token = token,
                .block = b,
                .index = static_cast<std::size_t>(at - rows.blocks[b].begin)};
        row.found = deviation_of(row, row_of(rows.candidate, token));
        blocks[b].sum += row.found.row;
        ++blocks[b].rows;
        all.push_back(row);
      }
  }

  struct Row {
    std::int32_t token;
    std::size_t block, index;  ///< block, row in it
    Deviation found = {};      ///< of the candidate
  };
  struct Block {
    double sum = 0;  ///< of its rows' deviations
    std::size_t rows = 0;
  };
  /// What exceeds its limit most.
  struct Excess {
    double ratio = 1;
    Doubt::Scope scope = Doubt::Scope::head;
    std::size_t block = 0;
    std::int32_t token = -1;
    double found = 0, allowed = 0;
  };

  std::span<const float> row_of(std::span<const float> values, std::size_t token) const {
    return values.subspan(token * rows.channels, rows.channels);
  }
  Deviation deviation_of(const Row& row, std::span<const float> values) const {
    return deviation(values, row_of(rows.golden, row.token), rows.sizes[row.token]);
  }

  bool differs() const {
    return std::ranges::any_of(all, [](const Row& row) { return row.found.row > 0; });
  }
  /// Blocks spread evenly over those that hold rows.
  std::vector<int> sample() const {
    std::vector<int> held, chosen;
    for (std::size_t b = 0; b < blocks.size(); ++b)
      if (blocks[b].rows > 0) held.push_back(static_cast<int>(b));
    const std::size_t count = std::min(kSampled, held.size());
    for (std::size_t i = 0; i < count; ++i)
      chosen.push_back(held[count == 1 ? 0 : i * (held.size() - 1) / (count - 1)]);
    std::erase_if(chosen, [&](int block) { return runs.has(block); });
    return chosen;
  }

  /// What stands outside, first in blocks that were run, else anywhere.
  struct Finding {
    Excess head, run, other;  ///< of the whole head; of the rest
  };
  Finding look() const {
    LegalDraws pooled_rows(least_row), pooled_values(least_value);
    std::map<std::size_t, LegalDraws> own_rows;
    std::vector<Deviation> own(all.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Row& row = all[i];
      if (!runs.has(static_cast<int>(row.block))) continue;
      LegalDraws& own_draws = own_rows.try_emplace(row.block, least_row).first->second;
      for (std::size_t k = 0; k < LegalDraws::kKernels; ++k) {
        const Deviation drawn =
            deviation_of(row, runs.rows(static_cast<int>(row.block), k)
                                  .subspan(row.index * rows.channels, rows.channels));
        if (!std::isfinite(drawn.row)) continue;  // a kernel that overflows says nothing of others
        pooled_rows.add(k, drawn.row);
        pooled_values.add(k, drawn.value);
        own_draws.add(k, drawn.row);
        own[i] = {std::max(own[i].row, drawn.row), std::max(own[i].value, drawn.value)};
      }
    }
    Finding finding;
    const auto exceeds = [](const Excess& excess, Excess& worst) {
      const double ratio = excess.allowed > 0 ? excess.found / excess.allowed
                                              : std::numeric_limits<double>::infinity();
      if (!(excess.found > excess.allowed) || !(ratio > worst.ratio)) return;
      worst = excess;
      worst.ratio = ratio;
    };
    const auto note = [&](bool run, const Excess& excess) {
      exceeds(excess, run ? finding.run : finding.other);
    };
    double total = 0;
    for (const Block& block : blocks) total += block.sum;
    const auto count = static_cast<double>(all.size());
    exceeds({.found = total / count, .allowed = pooled_rows.limit(count, 1)}, finding.head);
    const auto block_count = static_cast<double>(blocks.size());
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (blocks[b].rows == 0) continue;
      const auto n = static_cast<double>(blocks[b].rows);
      double allowed = pooled_rows.limit(n, block_count);
      const auto drawn = own_rows.find(b);
      const bool run = drawn != own_rows.end();
      if (run) allowed = std::max(allowed, drawn->second.limit(n, block_count));
      note(run, {.scope = Doubt::Scope::block,
                 .block = b,
                 .found = blocks[b].sum / n,
                 .allowed = allowed});
    }
    const double reserve = squared(LegalDraws::kReserve);
    const double one_row = pooled_rows.limit(1, count);
    const double one_value = pooled_values.limit(1, count * static_cast<double>(rows.channels));
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Row& row = all[i];
      const bool run = own_rows.contains(row.block);
      Excess excess{.block = row.block, .token = row.token};
      excess.scope = Doubt::Scope::row;
      excess.found = row.found.row;
      excess.allowed = std::max(one_row, reserve * own[i].row);
      note(run, excess);
      excess.scope = Doubt::Scope::value;
      excess.found = row.found.value;
      excess.allowed = std::max(one_value, reserve * own[i].value);
      if (rows.channels > 1) note(run, excess);
    }
    return finding;
  }

  /// The block to run before an excess is believed: its own, or the worst that was not run.
  std::optional<int> suspect(const Finding& finding) const {
    if (finding.other.ratio > 1) return static_cast<int>(finding.other.block);
    std::optional<int> most;
    double largest = 0;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (blocks[b].rows == 0 || runs.has(static_cast<int>(b))) continue;
      const double mean = blocks[b].sum / static_cast<double>(blocks[b].rows);
      if (most && mean <= largest) continue;
      most = static_cast<int>(b);
      largest = mean;
    }
    return most;
  }

  Doubt doubt(const Excess& excess) const {
    Doubt doubt{.reason = Doubt::Reason::spread, .scope = excess.scope, .at = {}};
    doubt.found = std::sqrt(excess.found);
    doubt.allowed = std::sqrt(excess.allowed);
    if (excess.scope != Doubt::Scope::head)
      (rows.side == Side::key ? doubt.at.key_block : doubt.at.query_block) =
          static_cast<std::int64_t>(excess.block);
    if (excess.token >= 0) doubt.at.token = excess.token;
    if (excess.scope == Doubt::Scope::value) {
      const auto golden = row_of(rows.golden, excess.token);
      const auto candidate = row_of(rows.candidate, excess.token);
      std::size_t worst = 0;
      for (std::size_t j = 0; j < golden.size(); ++j)
        if (squared_distance(golden[j], candidate[j]) >
            squared_distance(golden[worst], candidate[worst]))
          worst = j;
      doubt.at.channel = static_cast<std::int64_t>(worst);
    }
    return doubt;
  }

  const SpreadRows& rows;
  LegalRuns& runs;
  double least_row, least_value;
  std::vector<Row> all;
  std::vector<Block> blocks;
};

}  // namespace

std::optional<Doubt> beyond_legal_spread(const SpreadRows& rows, LegalRuns& runs) {
  const Judge judge(rows, runs);
  if (!judge.differs()) return std::nullopt;
  if (const std::vector<int> blocks = judge.sample(); !blocks.empty()) runs.run(blocks);
  for (std::size_t suspects = 0;; ++suspects) {
    const Judge::Finding finding = judge.look();
    const bool head = finding.head.ratio > 1;
    if (!head && finding.run.ratio <= 1 && finding.other.ratio <= 1) return std::nullopt;
    const std::optional<int> block = judge.suspect(finding);
    if (finding.run.ratio > 1 || !block || suspects == kSuspects) {
      const Judge::Excess& local = finding.run.ratio > 1 ? finding.run : finding.other;
      return judge.doubt(finding.head.ratio > local.ratio ? finding.head : local);
    }
    runs.run({*block});
  }
}

}  // namespace karat::golden
