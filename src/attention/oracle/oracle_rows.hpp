// The f64 oracle's inner step: some query rows absorb a chunk of keys.
//
// Both products run over panels of 16 columns that lie in one piece, [panel][term][16], so that a
// panel stays in the first-level cache while all rows meet it. Every sum is an element of its own
// with its terms in ascending order: no blocking changes a bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "fast/softmax_rows.hpp"
#include "karat/video/token_order.hpp"
#include "lines.hpp"

namespace karat::attention {

inline constexpr std::size_t kChannelStep = 16;  ///< the kernels want channels in multiples of it
inline constexpr std::size_t kPanelColumns = 16;

/// n rounded up to whole panels.
constexpr std::size_t whole_panels(std::size_t n) {
  return (n + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
}

/// Streaming softmax state of `rows` query rows.
struct OracleRows {
  OracleRows(std::size_t rows, std::size_t channels);
  std::size_t rows, channels;
  std::vector<double> q;  ///< rows x channels
  std::vector<double> m;  ///< log2 units
  std::vector<double> l;  ///< rows x 8: key n of a chunk adds to sum n mod 8
  std::vector<double> o;  ///< rows x channels
};

/// s[rows x stride] = x[rows x channels] * panels[stride / 16][channels][16] * scale, channels
/// ascending from 0, products exact, the sum rounded before it is scaled; stride a multiple of 16.
void make_scores(const double* x, const double* panels, std::size_t rows, std::size_t stride,
                 std::size_t channels, double scale, double* s);
/// o[rows x channels] += p[rows x stride] * panels[channels / 16][terms][16], terms ascending, each
/// product rounded; channels a multiple of 16.
void add_weighted(const double* p, const double* panels, std::size_t rows, std::size_t stride,
                  std::size_t terms, std::size_t channels, double* o);

/// Rows whose products with others are scores, in f32, as panels of 16 rows: [panel][channel][16],
/// zeros behind a range's last row. `width` is `channels` rounded up to a multiple of kChannelStep.
class ScorePanels {
 public:
  /// @param values  tokens x channels
  /// @param ranges  of positions; rows of a range stand in the order of `token_at`, negative: zeros
  ScorePanels(std::span<const float> values, std::size_t channels,
              std::span<const std::int32_t> token_at, std::span<const video::Range> ranges,
              int threads);
  std::size_t width() const { return width_; }
  /// The panels of a range in f64, into `to`.
  void widen_range(std::size_t range, Lines<double>& to) const;

 private:
  std::size_t width_;
  std::vector<std::size_t> begin_;  ///< of each range, and the end
  std::vector<float> values_;
};

/// panels[channels / 16][count][16] in f64 of rows[count x channels]; channels a multiple of 16.
void make_value_panels(const float* rows, std::size_t count, std::size_t channels,
                       Lines<double>& panels);

/// Consecutive positions in pieces of `size`, the last one shorter.
std::vector<video::Range> pieces(std::size_t count, std::size_t size);

/// Keys in f64, ready for both products.
struct OracleChunk {
  std::size_t keys = 0;
  std::size_t stride = 0;  ///< keys rounded up to whole panels
  Lines<double> k, v;      ///< panels
  Lines<double> s;         ///< scratch, rows x stride

  /// @param range   of `k_panels`
  /// @param v_rows  keys x channels, k_panels' width
  void load(const ScorePanels& k_panels, std::size_t range, const float* v_rows, std::size_t keys);
};

/// Makes -Inf of the scores of masked pairs; the first row of `s` is row `first` of the state.
using DropScores = std::function<void(BlockOf<double> s, std::size_t first)>;

/// s = (q.k)*scale summed over channels ascending; m' = max; P = 2^(s-m'); sums in key order.
/// @param drop  empty: no pair is masked
void absorb(OracleRows& rows, OracleChunk& chunk, double scale, const DropScores& drop = {});

}  // namespace karat::attention
