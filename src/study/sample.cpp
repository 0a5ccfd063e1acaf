// Drawing query blocks and rows inside them.
#include "karat/study/sample.hpp"

#include <algorithm>
#include <map>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/dice.hpp"

namespace karat::study {
namespace {

/// Per block its tokens, empty where one of them is not available.
std::vector<std::vector<std::int32_t>> eligible_rows(const video::TokenOrder& order,
                                                     std::span<const video::Range> blocks,
                                                     std::span<const std::int32_t> available) {
  std::vector<std::vector<std::int32_t>> rows;
  for (const video::Range block : blocks) {
    auto& tokens = rows.emplace_back();
    bool whole = true;
    for (std::int64_t p = block.begin; p < block.end; ++p) {
      const std::int32_t token = order.token_at[p];
      if (token < 0) continue;
      tokens.push_back(token);
      whole = whole &&
              (available.empty() || std::binary_search(available.begin(), available.end(), token));
    }
    if (!whole) tokens.clear();
  }
  return rows;
}

Sample draw(std::vector<std::vector<std::int32_t>> blocks, const SampleSpec& spec,
            std::uint64_t stream) {
  if (spec.draws < 1 || spec.rows < spec.draws)
    throw Error(ErrorKind::usage, "rows",
                std::to_string(spec.rows) + " rows in " + std::to_string(spec.draws) +
                    " blocks leave blocks without a row",
                "give at least one row a block");
  std::vector<std::int64_t> begin{0};
  for (const auto& block : blocks)
    begin.push_back(begin.back() + static_cast<std::int64_t>(block.size()));
  const std::int64_t total = begin.back();
  if (total == 0)
    throw Error(ErrorKind::usage, "query tiles", "hold no whole query block of the recipe",
                "save whole tiles, or choose recipes whose blocks follow them");
  Sample sample;
  sample.draws.complete = total <= spec.rows;
  std::map<std::int32_t, std::size_t> index_of;
  const auto add = [&](const std::vector<std::int32_t>& tokens) {
    auto& rows = sample.draws.rows.emplace_back();
    for (const std::int32_t token : tokens) {
      const auto [at, is_new] = index_of.try_emplace(token, sample.tokens.size());
      if (is_new) sample.tokens.push_back(token);
      rows.push_back(at->second);
    }
  };
  if (sample.draws.complete) {
    for (int b = 0; b < std::ssize(blocks); ++b) {
      if (blocks[b].empty()) continue;
      sample.blocks.push_back(b);
      add(blocks[b]);
    }
    return sample;
  }
  numerics::Dice dice(spec.seed, stream);
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
    sample.blocks.push_back(block);
  }
  std::sort(sample.blocks.begin(), sample.blocks.end());
  sample.blocks.erase(std::unique(sample.blocks.begin(), sample.blocks.end()), sample.blocks.end());
  return sample;
}

}  // namespace

std::uint64_t sample_stream(const capture::Job& job) {
  return ((std::uint64_t{0x73616D70} ^ static_cast<std::uint64_t>(job.prompt)) << 32) ^
         (static_cast<std::uint64_t>(job.step) << 22) ^
         (static_cast<std::uint64_t>(job.layer) << 11) ^ static_cast<std::uint64_t>(job.head);
}

Sample draw_sample(const layout::Layout& layout, std::span<const std::int32_t> available,
                   const SampleSpec& spec, std::uint64_t stream) {
  return draw(eligible_rows(layout.order, layout.blocks.query_blocks, available), spec, stream);
}

Sample draw_key_sample(const layout::Layout& layout, const SampleSpec& spec, std::uint64_t stream) {
  constexpr std::uint64_t kKeys = 0x6b65790000000000;  // "key"
  return draw(eligible_rows(layout.key_order, layout.blocks.key_blocks, {}), spec, stream ^ kKeys);
}

}  // namespace karat::study
