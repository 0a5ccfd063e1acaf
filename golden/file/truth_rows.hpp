// Which rows of a head the FP64 truth is computed for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace karat::golden {

/// Truth covers every row up to this many tokens, above it kTruthRows seeded ones.
inline constexpr std::size_t kAllTruthTokens = 32760;
inline constexpr std::size_t kTruthRows = 512;

/// Rows whose truth is computed: all up to kAllTruthTokens, else seeded ones, ascending.
std::vector<std::int32_t> truth_rows(std::size_t tokens, std::uint64_t seed);
/// All up to `most` tokens, else `count` distinct ones of a Philox stream, ascending.
std::vector<std::int32_t> sampled_tokens(std::size_t tokens, std::size_t most, std::size_t count,
                                         std::uint64_t seed, std::uint64_t stream);

}  // namespace karat::golden
