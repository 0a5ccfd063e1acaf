// All rows where that is affordable, else distinct seeded ones.
#include "truth_rows.hpp"

#include <numeric>
#include <set>

#include "karat/numerics/random/philox.hpp"

namespace karat::golden {
namespace {

constexpr std::uint64_t kTruthStream = 0x7472757468000000;

}  // namespace

std::vector<std::int32_t> sampled_tokens(std::size_t tokens, std::size_t most, std::size_t count,
                                         std::uint64_t seed, std::uint64_t stream) {
  if (tokens <= most) {
    std::vector<std::int32_t> all(tokens);
    std::iota(all.begin(), all.end(), 0);
    return all;
  }
  std::set<std::int32_t> rows;
  for (std::uint64_t i = 0; rows.size() < count; ++i)
    rows.insert(static_cast<std::int32_t>(numerics::random_bits(seed, stream, i) %
                                          static_cast<std::uint32_t>(tokens)));
  return {rows.begin(), rows.end()};
}

std::vector<std::int32_t> truth_rows(std::size_t tokens, std::uint64_t seed) {
  return sampled_tokens(tokens, kAllTruthTokens, kTruthRows, seed, kTruthStream);
}

}  // namespace karat::golden
