// Small random heads for engine tests: ordinary and hostile ones.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/video/grid.hpp"

namespace karat::attention {

struct RandomHead {
  std::vector<float> q, k, v;
  HeadInput input() const { return {q, k, v}; }
};

enum class Flavour { normal, ties, one_hot, zero_tiles, subnormal, wide_range, equal_keys, tails };
inline constexpr Flavour kFlavours[] = {
    Flavour::normal,    Flavour::ties,       Flavour::one_hot,    Flavour::zero_tiles,
    Flavour::subnormal, Flavour::wide_range, Flavour::equal_keys, Flavour::tails};

inline RandomHead random_head(video::Extent3 grid, std::size_t channels, Flavour flavour,
                              unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const auto count = static_cast<std::size_t>(grid.volume()) * channels;
  RandomHead head;
  for (auto* x : {&head.q, &head.k, &head.v}) {
    x->resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t token = i / channels;
      float& value = (*x)[i];
      value = normal(random);
      switch (flavour) {
        case Flavour::normal:
          break;
        case Flavour::ties:
          value = std::round(value * 4) / 4;
          break;
        case Flavour::one_hot:
          value *= x == &head.v ? 1.0f : 30.0f;
          break;
        case Flavour::zero_tiles:
          value = token / 5 % 2 ? 0.0f : value;
          break;
        case Flavour::subnormal:
          value = std::ldexp(value, -130);
          break;
        case Flavour::wide_range:
          value = std::ldexp(value, static_cast<int>(random() % 30) - 22);
          break;
        case Flavour::equal_keys:
          if (x == &head.k && token > 0) value = head.k[i % channels];
          break;
        case Flavour::tails:
          value *= random() % 50 == 0 ? 40.0f : 0.05f;
          break;
      }
    }
  }
  return head;
}

}  // namespace karat::attention
