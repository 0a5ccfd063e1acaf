// The video models under test as data: shapes, resolutions and sampler facts. The time model and
// the workload generator read the same rows.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "karat/video/grid.hpp"

namespace karat::video {

/// How text tokens meet video tokens.
enum class TextAttention {
  cross,  ///< in an attention of their own
  joint,  ///< after the video tokens, in the same attention
};

/// Which noise schedule the model was trained with.
enum class SamplerKind {
  rectified_flow,  ///< x = (1 - sigma) * data + sigma * noise
  diffusion,       ///< a variance-preserving schedule that has no flow sigma
};

struct Sampler {
  SamplerKind kind = SamplerKind::rectified_flow;
  int steps = 50;
  double first_sigma = 1;  ///< before the shift
  double shift = 1;        ///< sigma -> shift*sigma / (1 + (shift-1)*sigma)
  double guidance = 1;
  int forwards_per_step = 1;  ///< 2 when guidance needs a second forward without the prompt
};

/// Pixels and frames of a clip.
struct Resolution {
  std::string_view name;
  int width = 0;
  int height = 0;
  int frames = 0;
  friend bool operator==(const Resolution&, const Resolution&) = default;
};

struct Model {
  std::string_view name;
  int width = 0;  ///< model width ("dim"): heads * head_dim
  int heads = 0;
  int layers = 0;
  int ffn = 0;
  int head_dim = 0;
  int text_tokens = 0;  ///< the most a prompt takes
  TextAttention text = TextAttention::cross;
  int latent_channels = 0;
  Extent3 patch{1, 2, 2};       ///< latent cells per token
  Extent3 vae_stride{4, 8, 8};  ///< pixels per latent cell; the first frame stands alone
  Sampler sampler;
  std::span<const Resolution> resolutions;  ///< the default first
  std::string_view source;
};

/// All models.
std::span<const Model> models();
/// @throws Error(usage) naming the nearest model.
const Model& find_model(std::string_view name);

/// A resolution of the model by name ("720p"), or any as WIDTHxHEIGHTxFRAMES ("832x480x81").
/// @throws Error(usage) when it is neither.
Resolution find_resolution(const Model& model, std::string_view name);

/// Tokens of a clip: ((frames-1)/4+1, height/16, width/16) for the models here.
/// @throws Error(usage) when frames or sides do not divide.
Extent3 token_grid(const Model& model, const Resolution& resolution);

/// Noise level of step `step` in [0, steps): linspace(first, 0, steps+1)[step], then the shift.
/// @throws Error(usage) for a step outside the range and for SamplerKind::diffusion.
double sigma(const Model& model, int step, int steps);

}  // namespace karat::video
