// Which Philox stream serves which purpose: no two draws of a workload share random bits.
#pragma once

#include <cstdint>
#include <span>

#include "karat/numerics/random/philox.hpp"
#include "karat/numerics/random/normal.hpp"

namespace karat::video {

enum class Tensor : std::uint8_t { q, k, v };

enum class Purpose : std::uint8_t {
  scene,
  head,
  projection,
  noise,
  choice,
  latent_texture,  ///< of a clean clip, token by token
  latent_noise,    ///< the sampler's starting noise
  prompt,          ///< what a prompt's words add
};

/// purpose | tensor | batch | head, 8, 8, 24 and 24 bits from the top.
inline std::uint64_t stream(Purpose purpose, Tensor tensor, int batch, int head) {
  return static_cast<std::uint64_t>(purpose) << 56 | static_cast<std::uint64_t>(tensor) << 48 |
         static_cast<std::uint64_t>(batch) << 24 | static_cast<std::uint64_t>(head);
}

/// Row `row` of a matrix of normal numbers with out.size() columns.
inline void normal_row(std::uint64_t seed, std::uint64_t stream, std::int64_t row,
                       std::span<float> out) {
  const std::uint64_t blocks = (out.size() + 3) / 4;
  numerics::fill_normal(seed, stream, static_cast<std::uint64_t>(row) * blocks, out);
}

/// Uniform numbers of one stream, one after the other.
class Draw {
 public:
  Draw(std::uint64_t seed, std::uint64_t stream) : seed_(seed), stream_(stream) {}
  double between(double low, double high) {
    return low + (high - low) * numerics::random_uniform(seed_, stream_, next_++);
  }

 private:
  std::uint64_t seed_, stream_, next_ = 0;
};

}  // namespace karat::video
