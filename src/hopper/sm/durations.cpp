// Operation counts over rates. What overlaps finely (register ports, shared memory) is a bound on
// the matrix instructions of a block instead of a queue.
#include "durations.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "operations.hpp"

namespace karat::hopper {
namespace {

/// Clocks between two completions when `customers` go round between single servers, each asking
/// every server for its demand with exponential spread, and waiting `think` clocks elsewhere: exact
/// mean value analysis (Reiser and Lavenberg 1980).
double uneven_round(std::span<const double> demands, double think, int customers) {
  std::vector<double> queue(demands.size(), 0.0);
  double per_customer = 0;
  for (int n = 1; n <= customers; ++n) {
    double round = think;
    std::vector<double> stay(demands.size());
    for (std::size_t k = 0; k < demands.size(); ++k) round += stay[k] = demands[k] * (1 + queue[k]);
    for (std::size_t k = 0; k < demands.size(); ++k) queue[k] = n * stay[k] / round;
    per_customer = round / n;
  }
  return per_customer;
}

}  // namespace

Durations durations(const Machine& m, const Timing& t, const Plan& p, const Supply& s,
                    int residents, double masked_share) {
  Durations d;
  const bool together = p.turns == Turns::lockstep;
  d.actors = together ? 1 : p.warpgroups;
  d.rows = double(p.block_q) / d.actors;
  const double scores = d.rows * p.block_k, outputs = d.rows * p.tile_dim;
  const bool stored = p.p_path == PPath::shared_memory;
  const bool sync = p.matrix_path == MatrixPath::mma_sync;
  const Product qk = product(m, t, p, p.qk, d.rows, p.tile_dim, p.block_k, d.rows);
  const Product pv =
      product(m, t, p, p.pv, d.rows, p.block_k, p.tile_dim, stored || sync ? d.rows : 0);
  d.qk_busy = qk.clocks, d.pv_busy = pv.clocks;
  d.matrix_ports = qk.ports + pv.ports;
  d.matrix_smem = qk.smem + pv.smem;

  d.maximum = phase(m, t, scores, 0, p.extra_per_score * scores, p.score_conversions * scores);
  d.exponent = phase(m, t, 0, scores, 2 * scores, 0);
  d.probabilities = phase(m, t, 0, 0, 0, scores);
  if (stored) {
    d.probabilities.smem = scores * bytes_of(p.pv) / m.smem_bytes_per_clk;
    d.probabilities.clocks = std::max(d.probabilities.clocks, d.probabilities.smem);
  }
  d.rescale = phase(m, t, 0, 0, outputs, 0);
  d.finish = phase(m, t, 0, 0, outputs, outputs);
  d.finish.smem = outputs * 2 / m.smem_bytes_per_clk;
  d.mask = phase(m, t, t.mask_ops * scores, 0, 0, 0);
  if (p.promote_every > 0)
    d.promote = outputs * std::ceil(double(p.block_k) / p.promote_every) / m.fp32_per_clk;

  d.q_bytes = double(p.block_q) * s.q_real * p.head_dim * bytes_of(p.qk);
  d.k_bytes = double(p.block_k) * s.kv_real * p.head_dim * bytes_of(p.qk);
  d.v_bytes = double(p.block_k) * s.kv_real * p.head_dim * bytes_of(p.pv);
  d.o_bytes = double(p.block_q) * s.q_real * p.head_dim * p.o_bytes;
  const bool aligned = std::fmod(double(p.head_dim) * bytes_of(p.qk), 32) == 0;
  const double written = p.tile_dim / m.smem_bytes_per_clk;
  d.q_written = p.block_q * bytes_of(p.qk) * written;
  d.k_written = p.block_k * bytes_of(p.qk) * written;
  d.v_written = p.block_k * bytes_of(p.pv) * written;
  if (p.v_transpose == VTranspose::in_kernel) {
    // Read, two byte permutations per word, write back.
    const double bytes = double(p.block_k) * p.tile_dim;
    d.transpose_smem = 2 * bytes / m.smem_bytes_per_clk;
    d.transpose_alu = bytes / 4 * 2 / m.alu_per_clk;
    d.transpose = d.transpose_smem + d.transpose_alu;
  }

  // What shares ports and shared memory with the matrix instructions of one block of one actor.
  const bool overlaps = p.overlap == Overlap::previous_pv || residents * d.actors > 1;
  const double promoted = d.promote * m.fp32_per_clk / kLanes * t.port_per_instruction;
  const double softmax =
      d.maximum.ports + d.exponent.ports + d.probabilities.ports + d.rescale.ports + promoted;
  const double transposed =
      d.transpose_alu * m.alu_per_clk / kLanes * t.port_per_instruction / d.actors;
  const double loads = (d.k_written + d.v_written + d.transpose_smem) / d.actors;
  const double masked = d.mask.ports * masked_share;
  const double ports = d.matrix_ports + (overlaps ? softmax + masked + transposed : 0);
  const double smem = d.matrix_smem + loads + (overlaps ? d.probabilities.smem : 0);
  const double clocks = d.qk_busy + d.pv_busy;
  const int customers = residents * d.actors;
  double round = clocks;
  if (overlaps) {
    const std::array<double, 4> demands = {clocks, d.maximum.clocks + masked_share * d.mask.clocks,
                                           d.exponent.clocks,
                                           d.probabilities.clocks + d.rescale.clocks};
    const double think = t.mma_tail + 2 * t.shuffle + 2 * t.barrier_wait + t.barrier_arrive;
    const double even = *std::max_element(demands.begin(), demands.end());
    round = even + t.unevenness * (uneven_round(demands, think, customers) - even);
  }
  const double again =
      aligned ? 0 : (t.misaligned_passes - 1) * (d.k_written + d.v_written) / d.actors;
  const double stretch = (std::max({clocks, ports, smem, round}) + again) / clocks;
  d.qk = d.qk_busy * stretch;
  d.pv = d.pv_busy * stretch;
  return d;
}

}  // namespace karat::hopper
