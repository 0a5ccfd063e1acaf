// Implementation of video_head.hpp, and the table of kinds of heads.
#include "video_head.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "karat/numerics/functions/elementary.hpp"
#include "streams.hpp"

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

namespace {

using Kind = HeadKind;

constexpr HeadShape kShapes[] = {
    // clang-format off
    // kind         logit position sink   t     h     w   reach_t reach likeness
    {Kind::local,    22,   0.70,  0.00, 0.30, 0.35, 0.35,  3.0,   5.0,  0.8},
    {Kind::spatial,  22,   0.55,  0.00, 0.60, 0.20, 0.20,  1.0,  14.0,  0.8},
    {Kind::temporal, 26,   0.65,  0.00, 0.04, 0.48, 0.48,  8.0,   2.0,  0.8},
    {Kind::global,   18,   0.10,  0.00, 0.34, 0.33, 0.33,  4.0,   8.0,  0.9},
    {Kind::sink,     24,   0.30,  0.45, 0.30, 0.35, 0.35,  3.0,   5.0,  0.8},
    // clang-format on
};

constexpr HeadKind kMix[] = {Kind::local, Kind::spatial, Kind::temporal, Kind::local, Kind::global,
                             Kind::local, Kind::spatial, Kind::temporal, Kind::local, Kind::sink};

constexpr int kSinkTokens = 4;        // the first tokens of the first frame
constexpr double kDetail = 0.15;      // token-level texture of a clean clip
constexpr double kContentReach = 16;  // tokens; content lives in pairs that turn slower than that
constexpr float kEpsilon = 1e-6f;     // of RMSNorm

/// Pairs by ascending frequency: those that RoPE turns least come first.
std::vector<std::size_t> slowest_first(std::span<const RopePair> pairs) {
  std::vector<std::size_t> order(pairs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return pairs[i].frequency; });
  return order;
}

/// A bump of about two octaves around x = 1.
double octave_bump(double x) {
  const double ln = numerics::ln_f64(x);
  return numerics::exp_f64(-0.5 * ln * ln);
}

}  // namespace

HeadKind head_kind_of(const WorkloadSpec& spec, int head) {
  return spec.head_kind.value_or(kMix[head % std::ssize(kMix)]);
}

VideoHead::VideoHead(const WorkloadSpec& spec, int batch, int head)
    : spec_(spec),
      batch_(batch),
      head_(head),
      scene_(spec, batch),
      rope_(spec.grid, spec.head_dim) {
  const HeadShape& shape = *std::ranges::find(kShapes, head_kind_of(spec, head), &HeadShape::kind);
  const double clean = 1 - spec.sigma, rough = spec.sigma + kDetail * clean;
  const double norm = std::sqrt(clean * clean + rough * rough);
  clean_ = static_cast<float>(clean / norm);
  rough_ = static_cast<float>(rough / norm);
  content_share_ = static_cast<float>(std::sqrt(1 - shape.position - shape.sink));
  gain_ = static_cast<float>(std::sqrt(shape.logit / std::sqrt(double(spec.head_dim))));
  sink_tokens_ = shape.sink > 0 ? kSinkTokens : 0;
  draw_projections(shape.likeness);
  draw_bias(shape);
  draw_outliers();
}

void VideoHead::draw_projections(double likeness) {
  const std::size_t d = spec_.head_dim, size = scene_.features() * d;
  Row envelope(d, 1);
  double power = 0;
  for (std::size_t i = 0; i < rope_.pairs().size(); ++i) {
    const double turn = rope_.pairs()[i].frequency * kContentReach;
    const double weight = 1 / (1 + turn * turn);
    envelope[2 * i] = envelope[2 * i + 1] = static_cast<float>(std::sqrt(weight));
    power += 2 * weight;
  }
  for (float& e : envelope) e *= static_cast<float>(std::sqrt(double(d) / power));
  const auto matrix = [&](Tensor tensor) {
    Row values(size);
    normal_row(spec_.seed, stream(Purpose::projection, tensor, batch_, head_), 0, values);
    return values;
  };
  project_q_ = matrix(Tensor::q), project_k_ = matrix(Tensor::k), project_v_ = matrix(Tensor::v);
  const auto same = static_cast<float>(likeness);
  const auto own = static_cast<float>(std::sqrt(1 - likeness * likeness));
  for (std::size_t i = 0; i < size; ++i) {
    project_k_[i] = (same * project_q_[i] + own * project_k_[i]) * envelope[i % d];
    project_q_[i] *= envelope[i % d];
  }
}

void VideoHead::draw_bias(const HeadShape& shape) {
  const auto pairs = rope_.pairs();
  Draw draw(spec_.seed, stream(Purpose::head, Tensor::q, batch_, head_));
  const double jitter = draw.between(0.75, 1.33);  // no two heads look equally far
  // Energy of each pair: the axis's share, spread over frequencies near 1 / reach.
  std::vector<double> energy;
  double sums[3] = {};
  const auto axis_number = [&](std::size_t i) {
    return pairs[i].axis == &Extent3::t ? 0 : pairs[i].axis == &Extent3::h ? 1 : 2;
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const double reach = (axis_number(i) == 0 ? shape.reach_t : shape.reach) * jitter;
    energy.push_back(octave_bump(pairs[i].frequency * reach));
    sums[axis_number(i)] += energy.back();
  }
  const double shares[] = {shape.t, shape.h, shape.w};
  bias_q_.assign(spec_.head_dim, 0);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const int axis = axis_number(i);
    const double part = shape.position * shares[axis] * energy[i] / sums[axis];
    const double amplitude = std::sqrt(part * spec_.head_dim);
    const auto direction = numerics::sin_cos_turns(draw.between(0, 1));
    bias_q_[2 * i] = static_cast<float>(amplitude * direction.cos);
    bias_q_[2 * i + 1] = static_cast<float>(amplitude * direction.sin);
  }
  bias_k_ = bias_q_;
  sink_.assign(spec_.head_dim, 0);
  const std::size_t still = 2 * slowest_first(pairs).front() + 1;
  sink_[still] = static_cast<float>(std::sqrt(double(spec_.head_dim)));
  bias_q_[still] += static_cast<float>(std::sqrt(shape.sink)) * sink_[still];
}

void VideoHead::draw_outliers() {
  const std::size_t d = spec_.head_dim;
  Draw draw(spec_.seed, stream(Purpose::head, Tensor::v, batch_, head_));
  const auto size = [&](double gain) {
    return static_cast<float>(draw.between(0, 1) < 0.5 ? -gain : gain);
  };
  gain_v_.resize(d), offset_v_.resize(d);
  for (float& gain : gain_v_) gain = static_cast<float>(draw.between(0.4, 1.6));
  for (float& offset : offset_v_) offset = static_cast<float>(draw.between(-0.5, 0.5));
  offset_q_.assign(d, 0), offset_k_.assign(d, 0);
  const auto still = slowest_first(rope_.pairs());
  for (int i = 0; i < spec_.outlier_channels; ++i) {
    offset_k_[2 * still[(2 * i) % still.size()]] = gain_ * size(spec_.outlier_gain);
    offset_q_[2 * still[(2 * i + 1) % still.size()]] = gain_ * size(spec_.outlier_gain / 2);
    gain_v_[static_cast<std::size_t>(draw.between(0, double(d)))] = size(spec_.outlier_gain);
  }
}

void VideoHead::content(const Row& projection, std::span<const float> features, std::uint64_t noise,
                        std::int64_t token, std::span<float> row) const {
  normal_row(spec_.seed, noise, token, row);
  for (float& x : row) x *= rough_;
  for (std::size_t f = 0; f < features.size(); ++f) {
    const float feature = clean_ * features[f];
    if (feature == 0) continue;
    const float* weights = projection.data() + f * row.size();
    for (std::size_t j = 0; j < row.size(); ++j) row[j] += feature * weights[j];
  }
}

void VideoHead::normalise(std::span<float> row, const Row& offset) const {
  float power = 0;
  for (const float x : row) power += x * x;
  const float scale = gain_ / std::sqrt(power / static_cast<float>(row.size()) + kEpsilon);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = row[j] * scale + offset[j];
}

void VideoHead::rows(std::int64_t token, std::span<float> q, std::span<float> k,
                     std::span<float> v) const {
  const Extent3 at = token_coordinate(spec_.grid, token);
  std::vector<float> features(scene_.features());
  scene_.look(at, features);
  const auto noise = [&](Tensor tensor) { return stream(Purpose::noise, tensor, batch_, head_); };
  content(project_q_, features, noise(Tensor::q), token, q);
  content(project_k_, features, noise(Tensor::k), token, k);
  content(project_v_, features, noise(Tensor::v), token, v);
  shape_rows(token, q, k, v);
}

const std::vector<float>& VideoHead::projection(Tensor tensor) const {
  return tensor == Tensor::q ? project_q_ : tensor == Tensor::k ? project_k_ : project_v_;
}

void VideoHead::text_rows(std::int64_t token, std::span<float> q, std::span<float> k,
                          std::span<float> v) const {
  for (const auto& [tensor, row] : {std::pair{Tensor::q, q}, {Tensor::k, k}, {Tensor::v, v}})
    normal_row(spec_.seed, stream(Purpose::noise, tensor, batch_, head_), token, row);
  normalise(q, offset_q_);
  normalise(k, offset_k_);
  for (std::size_t j = 0; j < v.size(); ++j) v[j] = gain_v_[j] * (v[j] + offset_v_[j]);
}

void VideoHead::shape_rows(std::int64_t token, std::span<float> q, std::span<float> k,
                           std::span<float> v) const {
  const Extent3 at = token_coordinate(spec_.grid, token);
  const Row& bias_k = token < sink_tokens_ ? sink_ : bias_k_;
  for (std::size_t j = 0; j < q.size(); ++j) {
    q[j] = content_share_ * q[j] + bias_q_[j];
    k[j] = content_share_ * k[j] + bias_k[j];
    v[j] = gain_v_[j] * (v[j] + offset_v_[j]);
  }
  normalise(q, offset_q_);
  normalise(k, offset_k_);
  rope_.rotate(at, q);
  rope_.rotate(at, k);
}

}  // namespace karat::video
