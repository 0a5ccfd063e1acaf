// Bandwidth per SM and the share of reads that L2 does not hold.
#include "supply.hpp"

#include <algorithm>
#include <cmath>

namespace karat::hopper {
namespace {

constexpr double kL2ToSm = 64;       // bytes per clock one SM can take from L2 (derived: 2 x 32 B)
constexpr double kL2Resident = 0.5;  // of L2: its two halves keep copies of what both read

}  // namespace

double total_blocks(const std::vector<TileRun>& runs) {
  double sum = 0;
  for (const TileRun& run : runs) sum += double(run.tiles) * run.blocks;
  return sum;
}

std::int64_t total_tiles(const std::vector<TileRun>& runs) {
  std::int64_t sum = 0;
  for (const TileRun& run : runs) sum += run.tiles;
  return sum;
}

Supply make_supply(const Machine& m, const Timing& t, const Plan& p, const Shape& shape,
                   const Work& work, double mhz, std::int64_t tiles) {
  const double active = std::min<double>(m.sms, std::ceil(double(tiles) / p.ctas_per_sm));
  const double per_clk = 1e3 / mhz / active;  // GB/s of the board -> bytes per clock of an SM
  Supply s;
  s.port_bytes_per_clk = kL2ToSm;
  s.l2_bytes_per_clk = m.l2_gb_per_s * t.l2_share * per_clk;
  s.hbm_bytes_per_clk = m.hbm_gb_per_s * t.hbm_share * per_clk;
  const double read = total_blocks(work.head);
  const double rows = static_cast<double>(total_tiles(work.head));
  const double sharing = double(shape.heads) / shape.key_heads();  // query heads of a key head
  double unique = work.unique_key_blocks;
  if (unique <= 0) {
    for (const TileRun& run : work.head) unique = std::max<double>(unique, run.blocks);
  }
  const double kv_bytes = double(shape.keys) * p.head_dim * (bytes_of(p.qk) + bytes_of(p.pv));
  const double at_once = active * p.ctas_per_sm;
  const double heads_at_once = std::ceil(at_once / (rows * sharing));
  const bool resident = heads_at_once * kv_bytes <= kL2Resident * m.l2_mib * 1048576;
  // Resident: every block comes from HBM once. Otherwise once per group of CTAs at work together.
  const double per_head = std::min(1.0, unique / (read * sharing));
  // Small tensors are still in L2 from whoever wrote them.
  const double tensors =
      double(shape.batch) * (shape.key_heads() * kv_bytes + shape.heads * double(shape.queries) *
                                                                p.head_dim * (bytes_of(p.qk) + 2));
  if (tensors <= kL2Resident * m.l2_mib * 1048576) {
    s.q_miss = s.kv_miss = s.o_miss = 0;
  } else {
    s.kv_miss = resident ? per_head : std::max(per_head, 1.0 / std::min(rows * sharing, at_once));
  }
  s.q_real = std::min(1.0, double(shape.queries) / (rows * p.block_q));
  s.kv_real = std::min(1.0, double(shape.keys) / (unique * p.block_k));
  s.listed = work.listed && p.lists == BlockLists::read ? 1 : 0;
  return s;
}

}  // namespace karat::hopper
