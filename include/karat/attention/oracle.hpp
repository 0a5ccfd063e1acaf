// The truth: attention in f64 on the unquantised values, sums in a fixed order of our own.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "karat/attention/head.hpp"

namespace karat::attention {

struct OracleResult {
  std::vector<double> o;    ///< rows x channels, in the order the rows were asked for
  std::vector<double> lse;  ///< natural logarithm
};

enum class OracleMask { dense, sparse };

/// softmax(q k^T / sqrt(d)) v for the given tokens (original order), over all keys (dense) or the
/// keys the layout's mask keeps (sparse; a row that keeps none is 0 with lse -inf). What the
/// layout's branch adds is part of the sparse o.
/// Keys are summed in ascending original order within chunks of fixed size, so the bits depend on
/// the values alone. Relative error of each weight below 2^-48 for |logit| < 2^10.
OracleResult oracle(const layout::Layout& layout, const HeadInput& input,
                    std::span<const std::int32_t> tokens, OracleMask mask, int threads = 0,
                    const std::function<void(std::size_t, std::size_t)>& progress = {});

}  // namespace karat::attention
