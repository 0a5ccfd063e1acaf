// Implementation of scene.hpp.
#include "scene.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/functions/elementary.hpp"
#include "streams.hpp"

namespace karat::video {
namespace {

constexpr int kWaves = 8;
constexpr double kShortestWave = 6;  // tokens; the longest is the picture
constexpr double kDrift = 0.3;       // tokens a frame the background moves, at most

/// log-uniform
double spread(Draw& draw, double low, double high) {
  return numerics::exp_f64(draw.between(numerics::ln_f64(low), numerics::ln_f64(high)));
}

/// A distance on a ring of the given length, in [-length/2, length/2].
double wrapped(double distance, int length) {
  return distance - length * numerics::nearest_integer(distance / length);
}

}  // namespace

Scene::Scene(const WorkloadSpec& spec, int batch) : grid_(spec.grid) {
  Draw draw(spec.seed, stream(Purpose::scene, Tensor::q, batch, 0));
  const double longest = std::max({2 * kShortestWave, double(grid_.h), double(grid_.w)});
  double power = 0;
  for (int i = 0; i < kWaves; ++i) {
    const double length = spread(draw, kShortestWave, longest);
    const auto [sine, cosine] = numerics::sin_cos_turns(draw.between(0, 1));
    const Point frequency{sine / length, cosine / length};
    const double drift_h = draw.between(-kDrift, kDrift), drift_w = draw.between(-kDrift, kDrift);
    const double frequency_t = -(frequency.h * drift_h + frequency.w * drift_w);
    waves_.push_back({std::sqrt(length), frequency_t, draw.between(0, 1), frequency});
    power += length;
  }
  for (Wave& wave : waves_) wave.amplitude /= std::sqrt(power);
  const double side = std::min(grid_.h, grid_.w);
  for (int i = 0; i < spec.objects; ++i) {
    Object object;
    object.start = {draw.between(0, grid_.h), draw.between(0, grid_.w)};
    object.velocity = {draw.between(-spec.motion, spec.motion),
                       draw.between(-2 * spec.motion, 2 * spec.motion)};
    const auto [sine, cosine] = numerics::sin_cos_turns(draw.between(0, 1));
    const double length = draw.between(4, 12);
    object.texture = {sine / length, cosine / length};
    object.radius = std::max(1.5, side * draw.between(0.1, 0.3));
    objects_.push_back(object);
  }
}

void Scene::look(Extent3 token, std::span<float> features) const {
  double visible = 1;  // of the background, after the objects before it
  std::size_t out = 2 * waves_.size();
  for (const Object& object : objects_) {
    const double h = wrapped(token.h - (object.start.h + object.velocity.h * token.t), grid_.h);
    const double w = wrapped(token.w - (object.start.w + object.velocity.w * token.t), grid_.w);
    const double inside = std::max(0.0, 1 - (h * h + w * w) / (object.radius * object.radius));
    const double solid = visible * std::min(1.0, 2 * inside);  // the rim is soft
    const auto texture = numerics::sin_cos_turns(object.texture.h * h + object.texture.w * w);
    features[out++] = static_cast<float>(0.8 * solid);
    features[out++] = static_cast<float>(0.6 * solid * texture.cos);
    visible -= solid;
  }
  out = 0;
  for (const Wave& wave : waves_) {
    const auto [sine, cosine] =
        numerics::sin_cos_turns(token.t * wave.frequency_t + token.h * wave.frequency.h +
                                token.w * wave.frequency.w + wave.phase);
    features[out++] = static_cast<float>(visible * wave.amplitude * cosine);
    features[out++] = static_cast<float>(visible * wave.amplitude * sine);
  }
}

}  // namespace karat::video
