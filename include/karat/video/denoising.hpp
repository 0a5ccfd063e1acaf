// A generative model of one prompt on its way through the sampler: one scene and one noise sample
// for all steps, layers, heads and both branches of guidance. docs/workloads.md tells the model; it
// demonstrates mechanisms, claims about a real network need its own tensors.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "karat/video/workload.hpp"

namespace karat::video {

/// The two forwards of classifier-free guidance: with the prompt and without it.
enum class Branch : std::uint8_t { conditional, unconditional };
/// "conditional", "unconditional".
std::string_view to_string(Branch branch);
/// @throws Error(usage) for any other word.
Branch parse_branch(std::string_view name);

struct DenoisingSpec {
  Extent3 grid{21, 30, 52};
  int head_dim = 128;
  int layers = 30;         ///< of the network; a layer's number decides how clean its view is
  int heads = 12;          ///< of a layer
  std::uint64_t seed = 0;  ///< of the network: projections, reach and outliers of its heads
  std::optional<HeadKind> head_kind = {};  ///< all heads of one kind; empty: the mix
  int objects = 8;                         ///< as in WorkloadSpec
  double motion = 1;
  int outlier_channels = 2;
  double outlier_gain = 8;
  double texture = 0.15;      ///< of a clean clip, beside the scene's 1
  double depth_share = 0.3;   ///< the last layer sees sigma * (1 - depth_share): features denoise
  double prompt_gain = 0.15;  ///< what the prompt adds to the hidden state, beside its 1
};

struct DenoisingCell {
  int prompt = 0;      ///< seeds scene, texture and noise
  double sigma = 0.5;  ///< noise level of the step
  int layer = 0, head = 0;
  Branch branch = Branch::conditional;
};

/// @throws Error(usage) naming the field and its range.
void validate(const DenoisingSpec& spec);

/// Kind of a head: the mix of head_kind_of(), turned by three heads a layer.
HeadKind head_kind_of(const DenoisingSpec& spec, int layer, int head);

/// Q, K, V of one cell, in original token order, exact in BF16; on `threads` threads (0: all).
/// x = (1-s) x0 + s noise per token, s = sigma * (1 - depth_share * layer/(layers-1)), x0 = scene
/// and texture, plus the prompt's share in the conditional branch; Q, K, V are projections of x.
/// @throws Error(usage) for indices out of range
Head generate_head(const DenoisingSpec& spec, const DenoisingCell& cell, int threads = 0);

}  // namespace karat::video
