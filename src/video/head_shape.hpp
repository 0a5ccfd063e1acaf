// What distinguishes the kinds of video heads, as a table.
#pragma once

#include "karat/video/workload.hpp"

namespace karat::video {

/// Shares are of the energy of a Q row (and of K, sinks aside). The logit between two tokens is
/// about logit * (position * sum_axis share * kernel_axis(distance) + content * likeness), where a
/// kernel is 1 at distance 0 and falls off over a few `reach` tokens.
struct HeadShape {
  HeadKind kind;
  double logit;           ///< natural units; the most a logit without outliers reaches
  double position;        ///< share of the positional bias; what is left of 1 is content
  double sink;            ///< share that points at the sink tokens
  double t, h, w;         ///< how the bias is spread over the axes, sum 1
  double reach_t, reach;  ///< tokens within which the head looks, in time and in space
  double likeness;        ///< correlation of the Q and K projections of the scene
};

const HeadShape& head_shape(HeadKind kind);

}  // namespace karat::video
