// The table of head_shape.hpp and the mix of kinds.
#include "head_shape.hpp"

#include <algorithm>
#include <iterator>

namespace karat::video {
namespace {

using enum HeadKind;

constexpr HeadShape kShapes[] = {
    // clang-format off
    // kind   logit position sink   t     h     w   reach_t reach likeness
    {local,    22,   0.70,  0.00, 0.30, 0.35, 0.35,  3.0,   5.0,  0.8},
    {spatial,  22,   0.55,  0.00, 0.60, 0.20, 0.20,  1.0,  14.0,  0.8},
    {temporal, 26,   0.65,  0.00, 0.04, 0.48, 0.48,  8.0,   2.0,  0.8},
    {global,   18,   0.10,  0.00, 0.34, 0.33, 0.33,  4.0,   8.0,  0.9},
    {sink,     24,   0.30,  0.45, 0.30, 0.35, 0.35,  3.0,   5.0,  0.8},
    // clang-format on
};

constexpr HeadKind kMix[] = {local, spatial, temporal, local, global,
                             local, spatial, temporal, local, sink};

}  // namespace

const HeadShape& head_shape(HeadKind kind) {
  return *std::ranges::find(kShapes, kind, &HeadShape::kind);
}

HeadKind head_kind_of(const WorkloadSpec& spec, int head) {
  return spec.head_kind.value_or(kMix[head % std::ssize(kMix)]);
}

}  // namespace karat::video
