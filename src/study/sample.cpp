// Drawing rows, and ratio estimates over draws.
#include "karat/study/sample.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/philox.hpp"
#include "karat/study/statistics.hpp"

namespace karat::study {
namespace {

class Dice {
 public:
  Dice(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}
  std::int64_t between(std::int64_t begin, std::int64_t end) {
    return begin + static_cast<std::int64_t>(numerics::random_uniform(seed_, stream_, next_++) *
                                             static_cast<double>(end - begin));
  }

 private:
  std::uint64_t seed_, stream_, next_ = 0;
};

/// Per query block its tokens, empty where one of them is not available.
std::vector<std::vector<std::int32_t>> eligible_rows(const layout::Layout& layout,
                                                     std::span<const std::int32_t> available) {
  std::vector<std::vector<std::int32_t>> rows;
  for (const video::Range block : layout.blocks.query_blocks) {
    auto& tokens = rows.emplace_back();
    bool whole = true;
    for (std::int64_t p = block.begin; p < block.end; ++p) {
      const std::int32_t token = layout.order.token_at[p];
      if (token < 0) continue;
      tokens.push_back(token);
      whole = whole && (available.empty() ||
                        std::binary_search(available.begin(), available.end(), token));
    }
    if (!whole) tokens.clear();
  }
  return rows;
}

struct Sums {
  double error = 0, reference = 0;
};

/// The two means of one draw.
Sums sums_of(const std::vector<std::size_t>& rows, std::span<const double> errors,
             std::span<const double> references) {
  Sums sums;
  for (const std::size_t row : rows) {
    sums.error += errors[row];
    sums.reference += references[row];
  }
  return {sums.error / static_cast<double>(rows.size()),
          sums.reference / static_cast<double>(rows.size())};
}

/// Ratio of sums and its standard error.
Estimate ratio(const Sample& sample, std::span<const double> errors,
               std::span<const double> references) {
  if (sample.complete) {
    const double error = std::accumulate(errors.begin(), errors.end(), 0.0);
    const double reference = std::accumulate(references.begin(), references.end(), 0.0);
    return {error == 0 ? 0 : error / reference, 0};
  }
  std::vector<Sums> draws;
  Sums total;
  for (const auto& rows : sample.draws) {
    draws.push_back(sums_of(rows, errors, references));
    total.error += draws.back().error;
    total.reference += draws.back().reference;
  }
  if (total.error == 0) return {};
  const double value = total.error / total.reference;
  double squares = 0;
  for (const Sums& draw : draws) {
    const double residual = draw.error - value * draw.reference;
    squares += residual * residual;
  }
  const auto n = static_cast<double>(draws.size());
  const double variance = n > 1 ? n / (n - 1) * squares / (total.reference * total.reference) : 0;
  return {value, std::sqrt(variance)};
}

}  // namespace

Sample draw_sample(const layout::Layout& layout, std::span<const std::int32_t> available,
                   const SampleSpec& spec, std::uint64_t stream) {
  if (spec.draws < 1 || spec.rows < spec.draws)
    throw Error(ErrorKind::usage, "rows",
                std::to_string(spec.rows) + " rows in " + std::to_string(spec.draws) +
                    " query blocks leave blocks without a row",
                "give at least one row a block");
  auto blocks = eligible_rows(layout, available);
  std::vector<std::int64_t> begin{0};
  for (const auto& block : blocks)
    begin.push_back(begin.back() + static_cast<std::int64_t>(block.size()));
  const std::int64_t total = begin.back();
  if (total == 0)
    throw Error(ErrorKind::usage, "query tiles", "hold no whole query block of the recipe",
                "save whole tiles, or choose recipes whose blocks follow them");
  Sample sample;
  sample.complete = total <= spec.rows;
  std::map<std::int32_t, std::size_t> index_of;
  const auto add = [&](const std::vector<std::int32_t>& tokens) {
    auto& rows = sample.draws.emplace_back();
    for (const std::int32_t token : tokens) {
      const auto [at, is_new] = index_of.try_emplace(token, sample.tokens.size());
      if (is_new) sample.tokens.push_back(token);
      rows.push_back(at->second);
    }
  };
  if (sample.complete) {
    for (int b = 0; b < std::ssize(blocks); ++b) {
      if (blocks[b].empty()) continue;
      sample.query_blocks.push_back(b);
      add(blocks[b]);
    }
    return sample;
  }
  Dice dice(spec.seed, stream);
  for (int draw = 0; draw < spec.draws; ++draw) {
    const std::int64_t at =
        dice.between(total * draw / spec.draws, total * (draw + 1) / spec.draws);
    const auto block =
        static_cast<int>(std::upper_bound(begin.begin(), begin.end(), at) - begin.begin()) - 1;
    std::vector<std::int32_t> tokens = blocks[block];
    const std::size_t count =
        std::min<std::size_t>(tokens.size(), static_cast<std::size_t>(spec.rows / spec.draws));
    for (std::size_t i = 0; i < count; ++i)
      std::swap(tokens[i], tokens[dice.between(static_cast<std::int64_t>(i), std::ssize(tokens))]);
    tokens.resize(count);
    add(tokens);
    sample.query_blocks.push_back(block);
  }
  std::sort(sample.query_blocks.begin(), sample.query_blocks.end());
  const auto repeated = std::ranges::unique(sample.query_blocks);
  sample.query_blocks.erase(repeated.begin(), repeated.end());
  return sample;
}

Estimate relative_l2(const Sample& sample, std::span<const double> error_squares,
                     std::span<const double> reference_squares) {
  const Estimate squared = ratio(sample, error_squares, reference_squares);
  const double value = std::sqrt(squared.value);
  return {value, value > 0 ? squared.standard_error / (2 * value) : 0};
}

Estimate mean(const Sample& sample, std::span<const double> values) {
  const std::vector<double> ones(values.size(), 1.0);
  return ratio(sample, values, ones);
}

double half_width(const Sample& sample, const Estimate& estimate) {
  if (sample.complete || sample.draws.size() < 2) return 0;
  return student_t95(static_cast<int>(sample.draws.size()) - 1) * estimate.standard_error;
}

}  // namespace karat::study
