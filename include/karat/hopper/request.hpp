// What people ask about time: a recipe on a GPU for a model's run, or for a shape in numbers.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "karat/files/request.hpp"
#include "karat/hopper/around.hpp"

namespace karat::hopper {

/// The kernel's GPU and structure; the recipe comes beside it.
struct KernelRequest {
  std::string gpu = "H100";
  std::optional<Kernel> kernel;  ///< empty: the one the recipe implies
  int batch = 1;
  std::optional<double> power_w;  ///< empty: the board's own limit
  bool varlen = false;            ///< sequences packed behind each other
  bool split_keys = false;        ///< few query tiles share their keys out
  bool backward = false;          ///< the gradients' kernels too
  std::optional<double> density;  ///< of a mask that is predicted from Q and K
};
std::span<const files::RequestField<KernelRequest>> kernel_fields();

/// A model's run at a resolution.
struct ModelRequest {
  std::string model;
  std::optional<std::string> resolution;  ///< empty: the model's first
  std::optional<int> frames;              ///< empty: the resolution's own
  std::optional<int> steps, forwards;     ///< empty: the model's own
  int dense_steps = 0;
  int gpus = 1;
  LinearFormat linear = LinearFormat::bf16;
  std::optional<double> launch_gap_us, exchange_us, outside_share;  ///< empty: RunRequest's
};
std::span<const files::RequestField<ModelRequest>> model_fields();

/// A shape in numbers: tokens, or a grid of them.
struct ShapeRequest {
  std::optional<std::int64_t> tokens;
  std::optional<video::Extent3> grid;
  int heads = 1;
  int kv_heads = 0;  ///< 0: as many as heads
  int head_dim = 128;
  Causality causality = Causality::none;
};
std::span<const files::RequestField<ShapeRequest>> shape_fields();

/// Completes a question that has its recipe. @throws Error(usage) for unknown names
void ask(Question& question, const KernelRequest& request);
/// @throws Error(usage) for unknown names
RunRequest run_of(const ModelRequest& request);
/// Gives the question the model's shape. @return run_of(request)
RunRequest ask(Question& question, const ModelRequest& request);
/// @throws Error(usage) unless either tokens or a grid is given
void ask(Question& question, const ShapeRequest& request);

}  // namespace karat::hopper
