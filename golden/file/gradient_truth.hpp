// The FP64 gradients of a group of query heads at sampled tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "karat/case/backward.hpp"

namespace karat::golden {

inline constexpr std::size_t kGradientRows = 256;

/// Tokens whose gradients the file holds in FP64: all up to 256, else distinct seeded ones.
std::vector<std::int32_t> gradient_rows(std::size_t tokens, std::uint64_t seed);

struct GradientTruth {
  std::vector<std::vector<double>> dq;  ///< per query head: rows x channels
  std::vector<double> dk, dv;           ///< rows x channels, query heads added in order
};
GradientTruth gradient_truth(const layout::Layout& layout,
                             const std::vector<cases::BackwardRun::Head>& heads,
                             const std::vector<std::int32_t>& rows, attention::OracleMask mask,
                             int threads);

}  // namespace karat::golden
