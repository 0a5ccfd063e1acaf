// Implementation of video/denoising.hpp: latents of a token, then a head's projections of them.
#include "karat/video/denoising.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "video_head.hpp"

namespace karat::video {
namespace {

constexpr std::size_t kTextureFeatures =
    64;  // token-level detail and what noise adds to the scene's

WorkloadSpec workload(const DenoisingSpec& spec, std::uint64_t seed, HeadKind kind) {
  WorkloadSpec w;
  w.grid = spec.grid;
  w.heads = spec.layers * spec.heads;
  w.head_dim = spec.head_dim;
  w.seed = seed;
  w.head_kind = kind;
  w.objects = spec.objects;
  w.motion = spec.motion;
  w.outlier_channels = spec.outlier_channels;
  w.outlier_gain = spec.outlier_gain;
  return w;
}

/// Prompts and networks draw from different keys.
std::uint64_t prompt_seed(int prompt) {
  return 0x70726F6D00000000u + static_cast<std::uint64_t>(prompt);
}

/// The hidden state of one token: scene features, then texture features; squares sum to about 1.
class Latents {
 public:
  Latents(const DenoisingSpec& spec, const DenoisingCell& cell)
      : grid_(spec.grid),
        seed_(prompt_seed(cell.prompt)),
        scene_(workload(spec, seed_, HeadKind::local), 0),
        size_(scene_.features() + kTextureFeatures) {
    const double depth = spec.layers > 1 ? double(cell.layer) / (spec.layers - 1) : 0;
    const double sigma = cell.sigma * (1 - spec.depth_share * depth);
    const double told = cell.branch == Branch::conditional ? spec.prompt_gain : 0;
    const double power =
        (1 - sigma) * (1 - sigma) * (1 + spec.texture * spec.texture) + sigma * sigma + told * told;
    clean_ = static_cast<float>((1 - sigma) / std::sqrt(power));
    noise_ = static_cast<float>(sigma / std::sqrt(power * double(size_)));
    texture_ = static_cast<float>(spec.texture / std::sqrt(double(kTextureFeatures)));
    prompt_.assign(size_, 0);
    stress_.assign(size_, clean_);
    if (told == 0) return;
    normal_row(seed_, stream(Purpose::prompt, Tensor::q, 0, 0), 0, prompt_);
    normal_row(seed_, stream(Purpose::prompt, Tensor::q, 0, 0), 1, stress_);
    for (float& x : prompt_) x *= static_cast<float>(told / std::sqrt(power * double(size_)));
    for (float& x : stress_) x = clean_ * (1 + static_cast<float>(told) * x);
  }

  std::vector<float> of(std::int64_t token) const {
    std::vector<float> x(size_), noise(size_);
    const std::size_t scene = scene_.features();
    scene_.look(token_coordinate(grid_, token), std::span(x).first(scene));
    normal_row(seed_, stream(Purpose::latent_texture, Tensor::q, 0, 0), token,
               std::span(x).subspan(scene));
    normal_row(seed_, stream(Purpose::latent_noise, Tensor::q, 0, 0), token, noise);
    for (std::size_t i = 0; i < size_; ++i) {
      const float own = i < scene ? x[i] : x[i] * texture_;
      x[i] = (own * stress_[i] + noise_ * noise[i]) + prompt_[i];
    }
    return x;
  }

 private:
  Extent3 grid_;
  std::uint64_t seed_;
  Scene scene_;
  std::size_t size_;
  float clean_, noise_, texture_;
  std::vector<float> prompt_;  ///< constant part: what every token hears
  std::vector<float> stress_;  ///< the prompt makes some features of the scene stand out
};

/// A head's projection of all latents: the scene's as VideoHead has it, where Q and K are alike;
/// the texture's under the same envelope, each tensor its own, so that noise does not find itself.
std::vector<float> projection(const VideoHead& head, const DenoisingSpec& spec, Tensor tensor,
                              int number) {
  const std::size_t d = spec.head_dim;
  std::vector<float> all = head.projection(tensor);
  const std::size_t scene = all.size() / d;
  std::vector<double> envelope(d, 0);
  for (std::size_t i = 0; i < all.size(); ++i) envelope[i % d] += double(all[i]) * all[i];
  std::vector<float> texture(kTextureFeatures * d);
  normal_row(spec.seed, stream(Purpose::latent_texture, tensor, 1, number), 0, texture);
  for (std::size_t i = 0; i < texture.size(); ++i)
    texture[i] *= static_cast<float>(std::sqrt(envelope[i % d] / double(scene)));
  all.insert(all.end(), texture.begin(), texture.end());
  return all;
}

void project(std::span<const float> latent, const std::vector<float>& weights,
             std::span<float> row) {
  std::fill(row.begin(), row.end(), 0.0f);
  for (std::size_t f = 0; f < latent.size(); ++f) {
    const float x = latent[f];
    const float* w = weights.data() + f * row.size();
    for (std::size_t j = 0; j < row.size(); ++j) row[j] += x * w[j];
  }
}

}  // namespace

std::string_view to_string(Branch branch) {
  return branch == Branch::conditional ? "conditional" : "unconditional";
}

Branch parse_branch(std::string_view name) {
  for (const Branch branch : {Branch::conditional, Branch::unconditional})
    if (to_string(branch) == name) return branch;
  throw Error(ErrorKind::usage, "branch", "\"" + std::string(name) + "\" is no branch",
              "use conditional or unconditional");
}

void validate(const DenoisingSpec& spec) {
  require(spec.layers > 0 && spec.layers <= 4096, "denoising.layers", "1 to 4096");
  require(spec.heads > 0 && spec.heads <= 4096, "denoising.heads", "1 to 4096");
  require(spec.texture >= 0 && spec.texture <= 10, "denoising.texture", "0 to 10");
  require(spec.depth_share >= 0 && spec.depth_share <= 1, "denoising.depth_share", "0 to 1");
  require(spec.prompt_gain >= 0 && spec.prompt_gain <= 10, "denoising.prompt_gain", "0 to 10");
  validate(workload(spec, spec.seed, HeadKind::local));
}

HeadKind head_kind_of(const DenoisingSpec& spec, int layer, int head) {
  WorkloadSpec w;
  w.head_kind = spec.head_kind;
  return head_kind_of(w, head + 3 * layer);
}

Head generate_head(const DenoisingSpec& spec, const DenoisingCell& cell, int threads) {
  validate(spec);
  require(cell.prompt >= 0, "denoising.prompt", "0 and up");
  require(cell.sigma >= 0 && cell.sigma <= 1, "denoising.sigma", "0 (clean) to 1 (noise)");
  require(cell.layer >= 0 && cell.layer < spec.layers, "denoising.layer", "0 to layers - 1");
  require(cell.head >= 0 && cell.head < spec.heads, "denoising.head", "0 to heads - 1");
  const int number = cell.layer * spec.heads + cell.head;
  const VideoHead shape(workload(spec, spec.seed, head_kind_of(spec, cell.layer, cell.head)), 0,
                        number);
  const Latents latents(spec, cell);
  const auto to_q = projection(shape, spec, Tensor::q, number),
             to_k = projection(shape, spec, Tensor::k, number),
             to_v = projection(shape, spec, Tensor::v, number);
  return make_rows(
      spec.grid.volume(), spec.head_dim, threads,
      [&](std::int64_t token, std::span<float> q, std::span<float> k, std::span<float> v) {
        const std::vector<float> latent = latents.of(token);
        project(latent, to_q, q);
        project(latent, to_k, k);
        project(latent, to_v, v);
        shape.shape_rows(token, q, k, v);
      });
}

}  // namespace karat::video
