// The f64 oracle's inner step: some query rows absorb a chunk of keys.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace karat::attention {

inline constexpr std::size_t kChannelStep = 16;  ///< the kernels want channels in multiples of it

/// Streaming softmax state of `rows` query rows; rows are padded to a multiple of 4 with zeros.
struct OracleRows {
  OracleRows(std::size_t rows, std::size_t channels);
  std::size_t rows, padded, channels;
  std::vector<double> q;  ///< padded x channels
  std::vector<double> m;  ///< log2 units
  std::vector<double> l;  ///< padded x 8: key n of a chunk adds to sum n mod 8
  std::vector<double> o;  ///< padded x channels
};

/// Four rows at a time, `rows` a multiple of four, in the fixed orders of this file.
/// s[rows x stride] += x[rows x channels] * yt[channels x stride], channels ascending, products
/// exact; stride a multiple of 16.
void add_scores(const double* x, const double* yt, std::size_t rows, std::size_t stride,
                std::size_t channels, double* s);
/// o[rows x channels] += p[rows x stride] * y[terms x channels], terms ascending, each product
/// rounded; channels a multiple of 16.
void add_weighted(const double* p, const double* y, std::size_t rows, std::size_t stride,
                  std::size_t terms, std::size_t channels, double* o);
/// xt[channels x stride] of x[rows x channels], zeros behind the rows; stride = rows rounded up to
/// a multiple of 16.
std::vector<double> transposed(const float* x, std::size_t rows, std::size_t channels,
                               std::size_t stride);

/// Keys in f64, ready for vectors along keys (k) and along channels (v).
struct OracleChunk {
  std::size_t keys = 0;
  std::size_t stride = 0;             ///< keys rounded up to a multiple of 16
  std::vector<double> k_transposed;   ///< channels x stride
  std::vector<double> v;              ///< keys x channels
  std::vector<double> s;              ///< scratch, padded rows x stride
  std::vector<std::uint8_t> dropped;  ///< rows x keys, 1 = masked; empty: all kept

  void load(const float* k, const float* v, std::size_t keys, std::size_t channels);
};

/// s = (q.k)*scale summed over channels ascending; m' = max; P = 2^(s-m'); sums in key order.
void absorb(OracleRows& rows, OracleChunk& chunk, double scale);

}  // namespace karat::attention
