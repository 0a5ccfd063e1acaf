// The table behind video/models.hpp. A new model is one more row.
#include "karat/video/models.hpp"

#include <array>
#include <charconv>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::video {
namespace {

constexpr Resolution kWanResolutions[] = {
    {"480p", 832, 480, 81}, {"720p", 1280, 720, 81}, {"768p", 1280, 768, 69}};
constexpr Resolution kHunyuanResolutions[] = {{"768p", 1280, 768, 117}, {"720p", 1280, 720, 129}};
constexpr Resolution kCogVideoResolutions[] = {{"480p", 720, 480, 49}};

constexpr Sampler kWanSampler{
    .steps = 50, .first_sigma = 0.999, .shift = 5, .guidance = 5, .forwards_per_step = 2};

constexpr Resolution kWan22Resolutions[] = {{"480p", 832, 480, 81}, {"720p", 1280, 720, 81}};

/// Wan2.2's A14B models: two experts of Wan2.1-14B's sizes, of which one runs at a time.
constexpr Model wan22(std::string_view name, double shift) {
  return {.name = name,
          .width = 5120,
          .heads = 40,
          .layers = 40,
          .ffn = 13824,
          .head_dim = 128,
          .text_tokens = 512,
          .latent_channels = 16,
          .sampler = {.steps = 40,
                      .first_sigma = 0.999,
                      .shift = shift,
                      .guidance = 4,
                      .forwards_per_step = 2},
          .resolutions = kWan22Resolutions,
          .source =
              "Wan2.2's public configuration: an expert from noise level 0.875 (T2V) or 0.9 "
              "(I2V) on, another below; first sigma and I2V's steps as T2V's (open)"};
}

/// The sizes in which Wan's models differ.
constexpr Model wan(std::string_view name, int width, int heads, int layers, int ffn) {
  return {.name = name,
          .width = width,
          .heads = heads,
          .layers = layers,
          .ffn = ffn,
          .head_dim = 128,
          .text_tokens = 512,
          .latent_channels = 16,
          .sampler = kWanSampler,
          .resolutions = kWanResolutions,
          .source = "Wan2.1 (arXiv 2503.20314) and its public configuration"};
}

const Model kModels[] = {
    wan("wan2.1-1.3b", 1536, 12, 30, 8960),
    wan("wan2.1-14b", 5120, 40, 40, 13824),
    wan22("wan2.2-t2v-14b", 12),
    wan22("wan2.2-i2v-14b", 5),
    {.name = "hunyuanvideo",
     .width = 3072,
     .heads = 24,
     .layers = 60,  // 20 double-stream and 40 single-stream
     .ffn = 12288,
     .head_dim = 128,
     .text_tokens = 256,
     .text = TextAttention::joint,
     .latent_channels = 16,
     .sampler = {.steps = 50, .shift = 7, .guidance = 6},  // guidance is an input, not a forward
     .resolutions = kHunyuanResolutions,
     .source = "HunyuanVideo (arXiv 2412.03603) and its public configuration"},
    {.name = "cogvideox-5b",
     .width = 3072,
     .heads = 48,
     .layers = 42,
     .ffn = 12288,
     .head_dim = 64,
     .text_tokens = 226,
     .text = TextAttention::joint,
     .latent_channels = 16,
     .sampler =
         {.kind = SamplerKind::diffusion, .steps = 50, .guidance = 6, .forwards_per_step = 2},
     .resolutions = kCogVideoResolutions,
     .source = "CogVideoX (arXiv 2408.06072) and its public configuration"},
};

/// Three positive numbers joined by 'x', or nothing.
bool read_size(std::string_view text, std::array<int, 3>& size) {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::size_t i = 0; i < size.size(); ++i) {
    if (i > 0 && (at == end || *at++ != 'x')) return false;
    const auto [next, failure] = std::from_chars(at, end, size[i]);
    if (failure != std::errc{} || size[i] <= 0) return false;
    at = next;
  }
  return at == end;
}

std::string listed(std::span<const Resolution> resolutions) {
  std::string names;
  for (const auto& r : resolutions) names += std::string(r.name) + ", ";
  return names;
}

int divide(int count, int size, const char* what) {
  if (count % size == 0) return count / size;
  throw Error(ErrorKind::usage, "resolution",
              std::string(what) + " " + std::to_string(count) + " is no multiple of " +
                  std::to_string(size),
              "use " + std::to_string((count / size + 1) * size));
}

}  // namespace

std::span<const Model> models() { return kModels; }

const Model& find_model(std::string_view name) {
  for (const Model& model : kModels)
    if (model.name == name) return model;
  throw Error(ErrorKind::usage, "model", "unknown name '" + std::string(name) + "'",
              "did you mean " +
                  numerics::nearest_name(name, kModels, [](auto& m) { return m.name; }) + "?");
}

Resolution find_resolution(const Model& model, std::string_view name) {
  for (const Resolution& resolution : model.resolutions)
    if (resolution.name == name) return resolution;
  std::array<int, 3> size{};
  if (read_size(name, size)) return {"", size[0], size[1], size[2]};
  throw Error(ErrorKind::usage, "resolution",
              std::string(model.name) + " has no '" + std::string(name) + "'",
              "use " + listed(model.resolutions) + "or WIDTHxHEIGHTxFRAMES");
}

Extent3 token_grid(const Model& model, const Resolution& resolution) {
  const auto [stride_t, stride_h, stride_w] = model.vae_stride;
  if (resolution.frames < 1 || (resolution.frames - 1) % stride_t != 0)
    throw Error(ErrorKind::usage, "resolution",
                std::to_string(resolution.frames) + " frames are not a multiple of " +
                    std::to_string(stride_t) + " and one more",
                "use " + std::to_string(resolution.frames / stride_t * stride_t + 1));
  const int latent_frames = (resolution.frames - 1) / stride_t + 1;
  return {divide(latent_frames, model.patch.t, "latent frames"),
          divide(resolution.height, stride_h * model.patch.h, "height"),
          divide(resolution.width, stride_w * model.patch.w, "width")};
}

double sigma(const Model& model, int step, int steps) {
  if (model.sampler.kind != SamplerKind::rectified_flow)
    throw Error(ErrorKind::usage, "step", std::string(model.name) + " has no flow sigma",
                "give the noise level itself");
  if (steps < 1 || step < 0 || step >= steps)
    throw Error(ErrorKind::usage, "step",
                std::to_string(step) + " is outside 0.." + std::to_string(steps - 1),
                "count steps from 0");
  const double s = model.sampler.first_sigma * (steps - step) / steps;
  const double shift = model.sampler.shift;
  return shift * s / (1 + (shift - 1) * s);
}

}  // namespace karat::video
