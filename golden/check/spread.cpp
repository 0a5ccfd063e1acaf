// A few blocks spread over the head give the legal spread; blocks that exceed it are run
// themselves before they are doubted.
#include "spread.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>

#include "deviation.hpp"
#include "legal_draws.hpp"

namespace karat::golden {
namespace {

/// Query blocks run at first, and at most thereafter for the sake of what exceeds their spread.
constexpr std::size_t kSampled = 4, kSuspects = 8;

std::span<const float> rows_of(const bounds::LegalRows& rows, SpreadStage stage) {
  switch (stage) {
    case SpreadStage::l:
      return rows.l;
    case SpreadStage::lse:
      return rows.lse;
    case SpreadStage::o:
      break;
  }
  return rows.out;
}

}  // namespace

LegalSpread::LegalSpread(const recipe::Recipe& recipe, const layout::Layout& layout,
                         Operands operands, bounds::Freedom freedom, int threads,
                         std::function<void()> step)
    : recipe_(recipe),
      layout_(layout),
      operands_(std::move(operands)),
      freedom_(freedom),
      threads_(threads),
      step_(std::move(step)) {}

void LegalSpread::run(const std::vector<int>& blocks) {
  const attention::QuantisedHead& head = operands_();
  const bounds::LegalKernels kernels(recipe_, layout_, head, freedom_);
  std::mutex mutex;
  attention::AttendOptions options{.threads = threads_, .query_blocks = blocks, .tapped = blocks};
  options.on_tap = [&](attention::BlockTap&& tap, const attention::HeadResult&) {
    Kernels made;
    for (const bounds::LegalKernel& kernel : bounds::kLegalKernels) {
      step_();
      made.push_back(kernels.run(kernel, tap, bounds::Detail::outputs));
    }
    const std::lock_guard lock(mutex);
    runs_[tap.query_block] = std::move(made);
  };
  attention::attend(recipe_, layout_, head, options);
}

/// One stage's deviations, of the candidate and of the kernels run so far.
struct LegalSpread::Judge {
  Judge(LegalSpread& from, const HeadRows& of) : spread(from), rows(of) {
    const auto& query_blocks = spread.layout_.blocks.query_blocks;
    const double ulp = std::ldexp(1.0, -numerics::format(rows.format).fraction_bits);
    least_value = squared(ulp);
    least_row = least_value / static_cast<double>(rows.channels);
    measure_sizes();
    blocks.resize(query_blocks.size());
    for (std::size_t b = 0; b < blocks.size(); ++b)
      for (std::int64_t at = query_blocks[b].begin; at < query_blocks[b].end; ++at) {
        const std::int32_t token = spread.layout_.order.token_at[at];
        if (token < 0 || !rows.considered(token)) continue;
        Row row{.token = token,
                .block = b,
                .index = static_cast<std::size_t>(at - query_blocks[b].begin)};
        row.found = deviation_of(row, row_of(rows.candidate, token));
        blocks[b].sum += row.found.row;
        ++blocks[b].rows;
        all.push_back(row);
      }
  }

  struct Row {
    std::int32_t token;
    std::size_t block, index;  ///< query block, row in it
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
  /// Of the golden rows that are considered; lse as max(1, lse^2).
  void measure_sizes() {
    std::vector<float> considered(rows.golden.begin(), rows.golden.end());
    for (std::size_t e = 0; e < considered.size(); ++e) {
      if (!rows.considered(e / rows.channels)) considered[e] = 0;
      if (rows.stage == SpreadStage::lse && !(std::abs(considered[e]) > 1)) considered[e] = 1;
    }
    sizes = sizes_of(considered, rows.channels);
  }
  Deviation deviation_of(const Row& row, std::span<const float> values) const {
    return deviation(values, row_of(rows.golden, row.token), sizes[row.token]);
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
    std::erase_if(chosen, [&](int block) { return spread.runs_.contains(block); });
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
      const auto found = spread.runs_.find(static_cast<int>(row.block));
      if (found == spread.runs_.end()) continue;
      LegalDraws& own_draws = own_rows.try_emplace(row.block, least_row).first->second;
      for (std::size_t k = 0; k < LegalDraws::kKernels; ++k) {
        const Deviation drawn =
            deviation_of(row, rows_of(found->second[k], rows.stage)
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
      if (blocks[b].rows == 0 || spread.runs_.contains(static_cast<int>(b))) continue;
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
      doubt.at.query_block = static_cast<std::int64_t>(excess.block);
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

  LegalSpread& spread;
  const HeadRows& rows;
  double least_row, least_value;
  std::vector<double> sizes;  ///< per token
  std::vector<Row> all;
  std::vector<Block> blocks;
};

std::optional<Doubt> LegalSpread::judge(const HeadRows& rows) {
  const Judge judge(*this, rows);
  if (!judge.differs()) return std::nullopt;
  if (const std::vector<int> blocks = judge.sample(); !blocks.empty()) run(blocks);
  for (std::size_t suspects = 0;; ++suspects) {
    const Judge::Finding finding = judge.look();
    const bool head = finding.head.ratio > 1;
    if (!head && finding.run.ratio <= 1 && finding.other.ratio <= 1) return std::nullopt;
    const std::optional<int> block = judge.suspect(finding);
    if (finding.run.ratio > 1 || !block || suspects == kSuspects) {
      const Judge::Excess& local = finding.run.ratio > 1 ? finding.run : finding.other;
      return judge.doubt(finding.head.ratio > local.ratio ? finding.head : local);
    }
    run({*block});
  }
}

double LegalSpread::error_reach(
    std::span<const float> golden_o,
    const std::function<std::span<const double>(std::size_t)>& truth) const {
  constexpr std::size_t kLeastRows = 32;
  const std::size_t channels = layout_.channels;
  double golden = 0;
  std::array<double, LegalDraws::kKernels> legal{};
  std::size_t known = 0;
  for (const auto& [block, kernels] : runs_) {
    const video::Range queries = layout_.blocks.query_blocks[block];
    for (std::int64_t at = queries.begin; at < queries.end; ++at) {
      const std::int32_t token = layout_.order.token_at[at];
      const std::span<const double> exact = token < 0 ? std::span<const double>{} : truth(token);
      if (exact.empty()) continue;
      ++known;
      for (std::size_t j = 0; j < channels; ++j)
        golden += squared(golden_o[token * channels + j] - exact[j]);
      for (std::size_t k = 0; k < kernels.size(); ++k)
        for (std::size_t j = 0; j < channels; ++j)
          legal[k] += squared(kernels[k].out[(at - queries.begin) * channels + j] - exact[j]);
    }
  }
  const double most = *std::ranges::max_element(legal);
  if (known < kLeastRows || !(golden > 0) || !std::isfinite(most)) return 1;
  return std::max(1.0, std::sqrt(most / golden));
}

}  // namespace karat::golden
