// 3-D rotary position embedding: each axis rotates its own adjacent pairs of channels.
#pragma once

#include <span>
#include <vector>

#include "karat/video/grid.hpp"

namespace karat::video {

/// Channels rotated by each axis, t first: h and w get 2*(d/6), t the rest: 44|42|42 of 128
/// (Wan2.1), 24|20|20 of 64. The last channel of an odd head_dim stays as it is.
Extent3 rope_split(int head_dim);

/// One pair of channels: (2i, 2i+1), turned by frequency * position on its axis (radians a token).
struct RopePair {
  int Extent3::*axis;
  double frequency;  ///< theta^(-2j/n), j = pair within the axis, n = channels of the axis
};

class Rope {
 public:
  /// @throws Error(usage) unless head_dim and theta are positive.
  Rope(Extent3 grid, int head_dim, double theta = 10000);

  std::span<const RopePair> pairs() const { return pairs_; }

  /// (x, y) -> (x*cos - y*sin, x*sin + y*cos) in f32, each product and sum rounded; cos and sin are
  /// the f64 values rounded to f32.
  /// @pre row.size() = head_dim, token inside the grid
  void rotate(Extent3 token, std::span<float> row) const;

 private:
  struct Turn {
    float cos, sin;
  };
  std::vector<RopePair> pairs_;
  std::vector<std::vector<Turn>> turns_;  ///< per pair, per position on its axis
};

}  // namespace karat::video
