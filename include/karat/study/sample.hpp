// Which rows of a head are looked at: query blocks drawn with probability proportional to their
// size, rows drawn inside.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "karat/capture/cell.hpp"
#include "karat/layout/layout.hpp"
#include "karat/statistics/draws.hpp"

namespace karat::study {

struct SampleSpec {
  int rows = 256;  ///< rows looked at, together
  int draws = 8;   ///< blocks they lie in
  std::uint64_t seed = 0;
};

struct Sample {
  std::vector<int> blocks;           ///< to compute, of queries or keys; ascending, distinct
  std::vector<std::int32_t> tokens;  ///< rows looked at, original numbers, each once
  statistics::Draws draws;           ///< rows are indices into `tokens`
};

/// Tells samples of different jobs apart.
std::uint64_t sample_stream(const capture::Job& job);

/// Cuts the eligible positions into `draws` equal stretches, draws one position in each, takes its
/// query block and rows/draws of its rows. A block that is drawn twice counts twice. With no more
/// eligible rows than asked for, all are taken. Estimates take the draws as independent, which is
/// on the safe side of the stretches they come from.
/// @param available tokens whose queries exist, ascending; empty: all. Blocks with others are not
///        eligible.
/// @param stream tells samples of one seed apart
/// @throws Error(usage) when no block is eligible or rows < draws
Sample draw_sample(const layout::Layout& layout, std::span<const std::int32_t> available,
                   const SampleSpec& spec, std::uint64_t stream);
/// The same of key blocks, all of whose tokens exist, independent of the queries' sample.
Sample draw_key_sample(const layout::Layout& layout, const SampleSpec& spec, std::uint64_t stream);

}  // namespace karat::study
