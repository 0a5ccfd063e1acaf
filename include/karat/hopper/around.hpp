// What runs beside the attention kernel: quantisation, token reordering, linear layers, and the
// rest as a stated residual; bytes moved and held.
#pragma once

#include <string>
#include <vector>

#include "karat/hopper/cost.hpp"
#include "karat/video/models.hpp"

namespace karat::hopper {

struct SideKernel {
  std::string name;
  double ms = 0;
  double bytes = 0;  ///< moved
};

/// Streaming `bytes` once: launch + bytes / bandwidth, L2's while everything fits its share.
/// (fit) on the H100 quantisation rows: 1.4 % mean error for torch_ops, 6.8 % for the static
/// kernel.
double stream_ms(const Machine& machine, double bytes);

/// The kernels one attention launch needs around it: smoothing means, quantisation of Q, K and V
/// (3 bytes an element, V transposed on the way), reordering into tiles and back.
std::vector<SideKernel> around_attention(const Question& question);

/// Bytes of Q, K, V and O as the attention kernel holds them, scales not counted.
double held_bytes(const Question& question);

enum class LinearFormat { bf16, fp8, fp8_block };
/// One linear layer y[M,N] = x[M,K] w[N,K]^T: waves of 128 x 256 or smaller tiles.
/// (fit) on the H100 GEMM rows: mean error 8.5 % BF16, 11.4 % FP8, 12.9 % FP8 with block scales.
double linear_ms(const Machine& machine, LinearFormat format, double m, double n, double k);

/// FLOPs of one forward, 2 per multiply-add: layers x (linear + attention), see docs/time-model.md.
/// Attention to the prompt in a layer of its own counts as linear: it grows with the tokens alone.
double attention_flop(const video::Model& model, double tokens);
double linear_flop(const video::Model& model, double tokens);
inline double forward_flop(const video::Model& model, double tokens) {
  return attention_flop(model, tokens) + linear_flop(model, tokens);
}

/// One denoising step and a whole run.
struct RunRequest {
  const video::Model* model = nullptr;
  video::Extent3 grid;
  int steps = 50;
  int forwards_per_step = 2;
  int dense_steps = 0;  ///< first steps that run dense BF16 attention instead of the recipe
  int gpus = 1;         ///< sequence-parallel degree: heads and tokens are divided among them
  LinearFormat linear = LinearFormat::bf16;
  double launch_gap_us = 1;     ///< (open) between two kernels of one stream
  double exchange_us = 20;      ///< (open) latency of one all-to-all, beside its bytes
  double outside_share = 0.05;  ///< (open) VAE, text encoder and sampler, of the dense run
};
struct RunTime {
  double attention_ms = 0;  ///< per forward, all layers, with the recipe
  double around_ms = 0;     ///< quantisation and reordering
  double cross_ms = 0;      ///< attention to the prompt
  double linear_ms = 0;
  double exchange_ms = 0;  ///< all-to-all among GPUs
  double rest_ms = 0;      ///< norms, modulation, residuals, RoPE in FP64: a stated residual
  double gap_ms = 0;       ///< between launches
  double forward_ms = 0;
  double dense_forward_ms = 0;  ///< the same with dense BF16 attention
  double step_ms = 0;           ///< with the recipe
  double run_s = 0;             ///< all steps, with dense_steps
  double dense_run_s = 0;
  double outside_s = 0;  ///< VAE, text encoder and sampler: outside_share of dense_run_s
  double total_s = 0;    ///< run_s + outside_s
  double speedup = 0;    ///< dense_run_s / run_s
  double ceiling = 0;    ///< Amdahl: dense forward / (dense forward - dense attention)
};
/// @param question its recipe, machine and timing; the shape is the model's
RunTime run_time(const Question& question, const RunRequest& request);

/// One training iteration on one GPU at batch 1: a forward, and a backward in which every linear
/// layer has two products of the forward's size (towards its input and its weights), attention its
/// gradient kernels and the rest twice the forward's traffic (stated). Activations are kept, no
/// forward is run again; optimiser and exchange of gradients are not included.
struct IterationTime {
  double forward_ms = 0;
  double attention_ms = 0;  ///< of the backward, as the others
  double cross_ms = 0, linear_ms = 0, rest_ms = 0, gap_ms = 0;
  double backward_ms = 0;
  double iteration_ms = 0;
};
/// @throws Error(usage) as backward_cost(), or for more than one GPU
IterationTime iteration_time(const Question& question, const RunRequest& request);

/// The attention shape of a model on a grid: heads, head_dim, tokens and joint text.
Question ask_model(Question question, const video::Model& model, video::Extent3 grid);

}  // namespace karat::hopper
