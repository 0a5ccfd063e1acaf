// Streaming kernels, linear layers and whole runs: simple formulas with fitted constants.
#include "karat/hopper/around.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "karat/hopper/backward.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

// (fit) on h100_quantize_fp8.csv.
constexpr double kStreamLaunchUs = 1.4;
constexpr double kStreamHbmShare = 0.91;
constexpr double kStreamL2Share = 0.55;
constexpr double kStreamL2Fill = 0.76;  // of L2: traffic up to 40 MB of 50 MiB runs at L2's rate

/// (fit) on h100_gemm.csv: launch, clocks per wave beside the products, share of the rate at
/// kLinearMhz.
struct LinearFit {
  double launch_us, wave_clocks, share;
};
constexpr std::array<LinearFit, 3> kLinear = {{{0.1, 4540, 1.0}, {18.9, 0, 0.6}, {64, 0, 0.8}}};
constexpr double kLinearMhz = 1700;  // what short GEMMs run at; scaled by the board's clock
constexpr double kLinearFitMhz = 1484;
constexpr double kSmallTilePenalty = 1.1;

/// (stated) Bytes per token and channel that norms, modulation, residuals, activations (24 BF16
/// passes) and RoPE in FP64 (Q and K, six passes of 8 bytes) move in one layer.
constexpr double kRestBytes = 24 * 2 + 2 * 6 * 8;
constexpr double kLinkGbPerS = 450;  // NVLink 4, one direction
/// (stated) Kernels of a layer beside attention and what is around it: ten linear layers and some
/// twenty of norms, modulation, RoPE, activations and residuals.
constexpr double kLaunchesPerLayer = 30;

struct Gemm {
  double m, n, k;
  int count;
};

/// Linear layers of one transformer layer for one GPU of `gpus`.
std::vector<Gemm> gemms(const video::Model& model, double tokens, int gpus) {
  const double d = model.width, rows = tokens / gpus;
  if (model.text == video::TextAttention::joint) {
    const double both = (tokens + model.text_tokens) / gpus;
    return {{both, d, d, 4}, {both, double(model.ffn), d, 1}, {both, d, double(model.ffn), 1}};
  }
  return {{rows, d, d, 6},
          {double(model.text_tokens), d, d, 2},
          {rows, double(model.ffn), d, 1},
          {rows, d, double(model.ffn), 1}};
}

double bytes_per_element(numerics::FormatId format) {
  return std::max(8, numerics::format(format).bits) / 8;
}

/// Elements of a tensor that holds one token per query.
double query_elements(const Shape& shape) {
  return double(shape.batch) * shape.heads * shape.head_dim * static_cast<double>(shape.queries);
}
/// Likewise per key.
double key_elements(const Shape& shape) {
  return double(shape.batch) * shape.key_heads() * shape.head_dim * static_cast<double>(shape.keys);
}

}  // namespace

double stream_ms(const Machine& machine, double bytes) {
  const bool in_l2 = bytes <= kStreamL2Fill * machine.l2_mib * 1048576;
  const double rate =
      in_l2 ? kStreamL2Share * machine.l2_gb_per_s : kStreamHbmShare * machine.hbm_gb_per_s;
  return kStreamLaunchUs * 1e-3 + bytes / rate * 1e-6;
}

std::vector<SideKernel> around_attention(const Question& q) {
  const double queries = query_elements(q.shape), keys = key_elements(q.shape);
  std::vector<SideKernel> kernels;
  const auto add = [&](std::string name, double bytes) {
    kernels.push_back({std::move(name), stream_ms(q.machine, bytes), bytes});
  };
  struct Tensor {
    const char* name;
    const quant::Rule& rule;
    double elements;
  };
  const bool reordered = q.recipe.mask.tile.volume() > 1 && q.grid.has_value();
  for (const Tensor& t : {Tensor{"q", q.recipe.q, queries}, Tensor{"k", q.recipe.k, keys},
                          Tensor{"v", q.recipe.v, keys}}) {
    const double width = bytes_per_element(t.rule.format);
    if (t.rule.smooth != quant::Smooth::none) add(std::string("mean of ") + t.name, 2 * t.elements);
    // A quantising kernel writes its codes in tile order; otherwise reordering is one of its own.
    if (width < 2) {
      add(std::string("quantise ") + t.name, (2 + width) * t.elements);
    } else if (reordered) {
      add(std::string("reorder ") + t.name, 2 * width * t.elements);
    }
  }
  if (reordered) add("reorder o", 4 * queries);
  return kernels;
}

double held_bytes(const Question& q) {
  return query_elements(q.shape) * (bytes_per_element(q.recipe.q.format) + 2) +
         key_elements(q.shape) *
             (bytes_per_element(q.recipe.k.format) + bytes_per_element(q.recipe.v.format));
}

double linear_ms(const Machine& machine, LinearFormat format, double m, double n, double k) {
  if (m <= 0 || n <= 0 || k <= 0) {
    throw Error(ErrorKind::usage, "linear layer", "has a size that is not positive", "");
  }
  const LinearFit& fit = kLinear[static_cast<int>(format)];
  const bool wide = format == LinearFormat::bf16;
  const double rate = wide ? machine.bf16_flop_per_clk : machine.fp8_flop_per_clk;
  // The fitted share holds at the H100's rate; a slower tensor core hides what it pays for.
  const double full = wide ? 4096 : 8192;
  const double share = 1 - (1 - fit.share) * std::min(1.0, rate / full);
  constexpr std::array<std::array<double, 2>, 6> kGemmTiles = {
      {{128, 256}, {256, 128}, {128, 192}, {192, 128}, {128, 128}, {64, 256}}};
  double clocks = 1e300;
  for (const auto& [rows, columns] : kGemmTiles) {
    const double waves = std::ceil(std::ceil(m / rows) * std::ceil(n / columns) / machine.sms);
    const double penalty = rows * columns < 24576 ? kSmallTilePenalty : 1;
    const double tile = 2 * rows * columns * k / rate / share * penalty;
    clocks = std::min(clocks, waves * (fit.wave_clocks + tile));
  }
  const double held =
      std::min(kLinearMhz * machine.clock_mhz / kLinearFitMhz, machine.short_launch_clock_mhz);
  const double bytes = (m * k + n * k) * (wide ? 2 : 1) + m * n * 2;
  const double us =
      std::max(clocks / held, bytes / (kStreamHbmShare * machine.hbm_gb_per_s) * 1e-3);
  return (fit.launch_us + us) * 1e-3;
}

double attention_flop(const video::Model& model, double tokens) {
  if (model.text == video::TextAttention::joint) tokens += model.text_tokens;
  return model.layers * 4 * tokens * tokens * model.width;
}

double linear_flop(const video::Model& model, double tokens) {
  const bool cross = model.text == video::TextAttention::cross;
  double layer = cross ? 4 * tokens * model.text_tokens * model.width : 0;
  for (const Gemm& gemm : gemms(model, tokens, 1))
    layer += 2 * gemm.count * gemm.m * gemm.n * gemm.k;
  return model.layers * layer;
}

Question ask_model(Question q, const video::Model& model, video::Extent3 grid) {
  const int text = model.text == video::TextAttention::joint ? model.text_tokens : 0;
  q.grid = grid;
  q.text_tokens = text;
  q.shape.heads = model.heads;
  q.shape.head_dim = model.head_dim;
  q.shape.queries = q.shape.keys = grid.volume() + text;
  return q;
}

RunTime run_time(const Question& question, const RunRequest& request) {
  const video::Model& model = *request.model;
  if (request.gpus < 1 || request.gpus > model.heads) {
    throw Error(ErrorKind::usage, "gpus",
                std::to_string(request.gpus) + " GPUs cannot share " + std::to_string(model.heads) +
                    " heads",
                "give 1 to " + std::to_string(model.heads));
  }
  if (request.steps < 1 || request.forwards_per_step < 1 || request.dense_steps < 0 ||
      request.dense_steps > request.steps) {
    throw Error(ErrorKind::usage, "steps", "steps, forwards and dense steps do not fit together",
                "give steps >= 1 and dense steps from 0 to steps");
  }
  Question q = ask_model(question, model, request.grid);
  q.shape.heads = (model.heads + request.gpus - 1) / request.gpus;
  const Question dense = dense_bf16(q);
  const double tokens = static_cast<double>(request.grid.volume());
  const double layers = model.layers;
  RunTime t;
  t.attention_ms = layers * attention_ms(q);
  for (const SideKernel& kernel : around_attention(q)) t.around_ms += layers * kernel.ms;
  if (model.text == video::TextAttention::cross) {
    Question cross = dense;
    cross.grid.reset();
    cross.shape.causality = Causality::none;
    cross.shape.keys = model.text_tokens;
    t.cross_ms = layers * attention_ms(cross);
  }
  for (const Gemm& gemm : gemms(model, tokens, request.gpus)) {
    t.linear_ms +=
        layers * gemm.count * linear_ms(q.machine, request.linear, gemm.m, gemm.n, gemm.k);
  }
  const double share = 1.0 / request.gpus;
  const double all = static_cast<double>(q.shape.queries) * model.width;
  // Q, K, V to heads and O back to tokens, each GPU sending all but its own part.
  const double exchanges = request.gpus > 1 ? 4 * layers : 0;
  t.exchange_ms = layers * 4 * 2 * all * share * (1 - share) / kLinkGbPerS * 1e-6 +
                  exchanges * request.exchange_us * 1e-3;
  t.rest_ms = layers * stream_ms(q.machine, kRestBytes * all * share);
  t.gap_ms = layers * kLaunchesPerLayer * request.launch_gap_us * 1e-3;
  const double others = t.cross_ms + t.linear_ms + t.exchange_ms + t.rest_ms + t.gap_ms;
  const double dense_attention = layers * attention_ms(dense);
  t.forward_ms = t.attention_ms + t.around_ms + others;
  t.dense_forward_ms = dense_attention + others;
  t.step_ms = t.forward_ms * request.forwards_per_step;
  const double sparse_steps = request.steps - request.dense_steps;
  t.dense_run_s = t.dense_forward_ms * request.forwards_per_step * request.steps * 1e-3;
  t.run_s = (t.forward_ms * sparse_steps + t.dense_forward_ms * request.dense_steps) *
            request.forwards_per_step * 1e-3;
  t.outside_s = request.outside_share * t.dense_run_s;
  t.total_s = t.run_s + t.outside_s;
  t.speedup = t.dense_run_s / t.run_s;
  t.ceiling = t.dense_forward_ms / (t.dense_forward_ms - dense_attention);
  return t;
}

IterationTime iteration_time(const Question& question, const RunRequest& request) {
  if (request.gpus != 1)
    throw Error(ErrorKind::usage, "gpus", "is not 1, and the backward's exchange is not modelled",
                "leave it out");
  const video::Model& model = *request.model;
  const RunTime forward = run_time(question, request);
  const Question q = ask_model(question, model, request.grid);
  const double layers = model.layers;
  IterationTime t{.forward_ms = forward.forward_ms};
  t.attention_ms = layers * backward_cost(q, Detail::time).time_ms;
  if (model.text == video::TextAttention::cross) {
    Question cross = dense_bf16(q);
    cross.recipe.backward.loop = recipe::BackwardLoop::key_blocks;
    cross.grid.reset();
    cross.shape.causality = Causality::none;
    cross.shape.keys = model.text_tokens;
    t.cross_ms = layers * backward_cost(cross, Detail::time).time_ms;
  }
  for (const Gemm& gemm : gemms(model, static_cast<double>(request.grid.volume()), 1)) {
    const double products = linear_ms(q.machine, request.linear, gemm.m, gemm.k, gemm.n) +
                            linear_ms(q.machine, request.linear, gemm.n, gemm.k, gemm.m);
    t.linear_ms += layers * gemm.count * products;
  }
  t.rest_ms = 2 * forward.rest_ms;
  t.gap_ms = 2 * forward.gap_ms;
  t.backward_ms = t.attention_ms + t.cross_ms + t.linear_ms + t.rest_ms + t.gap_ms;
  t.iteration_ms = t.forward_ms + t.backward_ms;
  return t;
}

}  // namespace karat::hopper
