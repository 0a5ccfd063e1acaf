// What a kernel is held against: heads of a recipe, their operands over positions and what the
// recipe makes of them; and the launches of the kernels on the same operands.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compiled.hpp"
#include "karat/attention/backward.hpp"
#include "karat/attention/head.hpp"
#include "karat/files/tensor.hpp"
#include "karat/layout/layout.hpp"
#include "karat/ptx/run.hpp"
#include "karat/recipe/recipe.hpp"

namespace karat::kernels {

inline constexpr std::size_t kChannels = 128;

struct Case {
  recipe::Recipe recipe;
  layout::Layout layout;
  std::vector<attention::QuantisedHead> heads;
  std::vector<std::vector<float>> d_o;  ///< tokens x channels, BF16

  std::size_t positions() const { return static_cast<std::size_t>(layout.order.positions()); }
};

/// Heads of normal numbers under a recipe (a preset's name, or JSON).
Case make_case(std::string_view recipe, video::Extent3 grid, std::size_t heads);

/// Outputs of all heads, over positions.
struct Outputs {
  std::vector<float> out, lse;
};
Outputs expected(const Case& of);

struct Gradients {
  std::vector<float> dq, dk, dv, delta;
};
Gradients expected_gradients(const Case& of, const Outputs& forward);

/// @{ Launches over the whole grid; the outputs are out and lse.
ptx::Launch fpsattention_launch(const Case& of);
ptx::Launch sta_launch(const Case& of);
ptx::Launch flex_launch(const Case& of);
/// @}
/// @{ Of the backward: delta; dq; dk and dv.
ptx::Launch delta_launch(const Case& of, const Outputs& forward);
ptx::Launch dq_launch(const Case& of, const Outputs& forward, const std::vector<float>& delta);
ptx::Launch dkv_launch(const Case& of, const Outputs& forward, const std::vector<float>& delta);
/// @}

/// A BF16 or f32 tensor as f32.
std::vector<float> values_of(const files::Tensor& tensor);
/// How many words differ. @pre equal sizes
std::size_t differing(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace karat::kernels
