// A scene: a drifting background of plane waves behind moving textured objects, seen as a short
// feature vector per token. All heads of a batch item look at one scene.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "karat/video/workload.hpp"

namespace karat::video {

class Scene {
 public:
  Scene(const WorkloadSpec& spec, int batch);

  std::size_t features() const { return 2 * (waves_.size() + objects_.size()); }
  /// Features of a token; the sum of squares is about 1.
  void look(Extent3 token, std::span<float> features) const;

 private:
  struct Point {
    double h, w;
  };
  /// amplitude * (cos, sin) of 2*pi*(t*frequency_t + h*frequency.h + w*frequency.w + phase).
  struct Wave {
    double amplitude, frequency_t, phase;
    Point frequency;
  };
  /// A disc that moves in a straight line and re-enters on the other side.
  struct Object {
    Point start, velocity, texture;
    double radius;
  };
  Extent3 grid_;
  std::vector<Wave> waves_;
  std::vector<Object> objects_;
};

}  // namespace karat::video
