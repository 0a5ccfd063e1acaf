// The rows of a video head: scene features through the head's projections, a positional bias that
// decides what the head looks at, noise, RMS normalisation, outliers and RoPE.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "karat/video/rope.hpp"
#include "karat/video/workload.hpp"
#include "scene.hpp"
#include "streams.hpp"

namespace karat::video {

/// Every row of a head: `fill` writes those of one token in f32, which are then rounded to BF16. On
/// `threads` threads (0: all the machine has).
Head make_rows(std::int64_t tokens, int head_dim, int threads,
               const std::function<void(std::int64_t token, std::span<float> q, std::span<float> k,
                                        std::span<float> v)>& fill);

/// @throws Error(usage) "field: out of range, use range" unless `good`
void require(bool good, const std::string& field, const std::string& range);

struct HeadShape;

class VideoHead {
 public:
  VideoHead(const WorkloadSpec& spec, int batch, int head);

  /// Q, K and V of one token, in f32 before the rounding to BF16.
  void rows(std::int64_t token, std::span<float> q, std::span<float> k, std::span<float> v) const;

  /// The same from the head's content of the token, unit variance per channel, instead of the
  /// scene's.
  void shape_rows(std::int64_t token, std::span<float> q, std::span<float> k,
                  std::span<float> v) const;
  /// A text token's: noise of its own in the head's normalisation, with neither scene nor rotation.
  void text_rows(std::int64_t token, std::span<float> q, std::span<float> k,
                 std::span<float> v) const;
  /// [features][head_dim], unit variance per channel for features whose squares sum to 1.
  const std::vector<float>& projection(Tensor tensor) const;

 private:
  using Row = std::vector<float>;

  void draw_projections(double likeness);
  void draw_bias(const HeadShape& shape);
  void draw_outliers();
  void content(const Row& projection, std::span<const float> features, std::uint64_t noise,
               std::int64_t token, std::span<float> row) const;
  void normalise(std::span<float> row, const Row& offset) const;

  WorkloadSpec spec_;
  int batch_, head_;
  Scene scene_;
  Rope rope_;
  float clean_, rough_;                    ///< shares of scene and noise, squares sum to 1
  float content_share_;                    ///< of Q and K, the rest is bias
  float gain_;                             ///< rms of Q and K rows
  int sink_tokens_;                        ///< the first tokens, when the head has a sink
  Row project_q_, project_k_, project_v_;  ///< [features][head_dim]
  Row bias_q_, bias_k_, sink_;
  Row offset_q_, offset_k_;  ///< outlier channels
  Row gain_v_, offset_v_;
};

}  // namespace karat::video
