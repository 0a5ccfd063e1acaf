// Implementation of video/rope.hpp.
#include "karat/video/rope.hpp"

#include <string>

#include "karat/numerics/functions/elementary.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::video {

Extent3 rope_split(int head_dim) {
  const int side = 2 * (head_dim / 6);
  return {head_dim / 2 * 2 - 2 * side, side, side};
}

Rope::Rope(Extent3 grid, int head_dim, double theta) {
  if (head_dim <= 0 || !(theta > 0))
    throw Error(ErrorKind::usage, "rope", "head dimension and theta must be positive",
                "use 128 and 10000");
  constexpr double kTurnsPerRadian = 0.15915494309189533576888376337251;
  const Extent3 split = rope_split(head_dim);
  for (const auto axis : {&Extent3::t, &Extent3::h, &Extent3::w}) {
    for (int j = 0; j < split.*axis / 2; ++j) {
      const double exponent = -2.0 * j / (split.*axis);
      const double frequency = numerics::exp_f64(exponent * numerics::ln_f64(theta));
      auto& turns = turns_.emplace_back();
      for (int position = 0; position < grid.*axis; ++position) {
        const auto angle = numerics::sin_cos_turns(position * (frequency * kTurnsPerRadian));
        turns.push_back({static_cast<float>(angle.cos), static_cast<float>(angle.sin)});
      }
      pairs_.push_back({axis, frequency});
    }
  }
}

void Rope::rotate(Extent3 token, std::span<float> row) const {
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    const auto [c, s] = turns_[i][token.*pairs_[i].axis];
    const float x = row[2 * i], y = row[2 * i + 1];
    row[2 * i] = x * c - y * s;
    row[2 * i + 1] = x * s + y * c;
  }
}

}  // namespace karat::video
