// Workloads: Q, K, V of attention heads on a video grid, made from a seed. Values depend on the
// specification alone: not on threads, processor or compiler. docs/workloads.md tells the model.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/video/grid.hpp"

namespace karat::video {

/// What the tensors hold. All but `video` are adversarial basics for kernels and engines.
enum class WorkloadKind {
  video,
  gaussian,
  outliers,
  ties,
  saturating_p,
  one_hot,
  zero_tiles,
  subnormals,
  dynamic_range,
  tiny_tails,
  equal_keys,
  sink,
};

/// What a video head attends to.
enum class HeadKind { local, spatial, temporal, global, sink };

struct WorkloadSpec {
  WorkloadKind kind = WorkloadKind::video;
  Extent3 grid{6, 16, 16};
  int text = 0;  ///< tokens behind the video's: rows of their own noise, not rotated
  int batch = 1;
  int heads = 1;
  int head_dim = 128;
  std::uint64_t seed = 0;
  double sigma = 0.5;  ///< noise level of the denoising step, 0 clean .. 1 noise
  std::optional<HeadKind> head_kind =
      {};                    ///< all heads of one kind; empty: the mix of head_kind_of()
  int objects = 8;           ///< moving objects in the scene
  double motion = 1;         ///< their typical speed, tokens a frame
  int outlier_channels = 2;  ///< per tensor
  double outlier_gain = 8;   ///< their size beside ordinary channels
  Extent3 tile{6, 8, 8};     ///< zero_tiles and subnormals: which tiles
};

/// One head, row-major [tokens + text][head_dim] in original token order. Every value is exact in
/// BF16.
struct Head {
  std::vector<float> q, k, v;
};

/// Head `head` of batch item `batch`, on `threads` threads (0: all the machine has). Heads of one
/// batch item look at the same scene. Memory: the result and a few KiB a thread.
/// @throws Error(usage) when the specification or an index is out of range.
Head generate_head(const WorkloadSpec& spec, int batch, int head, int threads = 0);

/// @throws Error(usage) naming the field and its range.
void validate(const WorkloadSpec& spec);

/// The kind of a head in the default mix: of ten heads four are local, two spatial, two temporal,
/// one global, one a sink; head 0 is local.
HeadKind head_kind_of(const WorkloadSpec& spec, int head);

template <typename Kind>
struct KindRow {
  Kind kind;
  std::string_view name;
  std::string_view meaning;
};
std::span<const KindRow<WorkloadKind>> workload_kinds();
std::span<const KindRow<HeadKind>> head_kinds();
/// @throws Error(usage) naming the nearest kind.
WorkloadKind find_workload_kind(std::string_view name);
HeadKind find_head_kind(std::string_view name);

}  // namespace karat::video
