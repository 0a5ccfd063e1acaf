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
  s.active = active, s.mhz = mhz;
  s.port_bytes_per_clk = kL2ToSm;
  s.l2_bytes_per_clk = m.l2_gb_per_s * t.l2_share * per_clk;
  s.hbm_bytes_per_clk = m.hbm_gb_per_s * t.hbm_share * per_clk;
  const double read = total_blocks(work.head);
  const double rows = static_cast<double>(total_tiles(work.head));
  const bool keys = p.keys_outside(), forward = p.pass == Pass::forward;
  const double inner_tokens = static_cast<double>(keys ? shape.queries : shape.keys);
  const double outer_tokens = static_cast<double>(keys ? shape.keys : shape.queries);
  // Query heads that read the same inner block.
  const double sharing = keys ? 1 : double(shape.heads) / shape.key_heads();
  double unique = work.unique_key_blocks;
  if (unique <= 0) {
    for (const TileRun& run : work.head) unique = std::max<double>(unique, run.blocks);
  }
  // Both inner operands of a head, and the FP32 sums that go with them.
  const double sums = p.pass == Pass::gradients ? 4 : 0;
  const double inner_bytes = inner_tokens * p.head_dim * (bytes_of(p.qk) + bytes_of(p.pv) + sums);
  const double at_once = active * p.ctas_per_sm;
  const double heads_at_once = std::ceil(at_once / (rows * sharing));
  const bool resident = heads_at_once * inner_bytes <= kL2Resident * m.l2_mib * 1048576;
  // Resident: every block comes from HBM once. Otherwise once per group of CTAs at work together.
  const double per_head = std::min(1.0, unique / (read * sharing));
  // Small tensors are still in L2 from whoever wrote them.
  const double outer_bytes = outer_tokens * p.head_dim * (forward ? bytes_of(p.qk) + 2 : 8);
  const double tensors = double(shape.batch) * shape.heads * (inner_bytes / sharing + outer_bytes);
  if (tensors <= kL2Resident * m.l2_mib * 1048576) {
    s.q_miss = s.kv_miss = s.o_miss = 0;
  } else {
    s.kv_miss = resident ? per_head : std::max(per_head, 1.0 / std::min(rows * sharing, at_once));
  }
  s.q_real = std::min(1.0, outer_tokens / p.outer());
  s.kv_real = std::min(1.0, inner_tokens / (unique * p.inner()));
  s.listed = work.listed && p.lists == BlockLists::read ? 1 : 0;
  return s;
}

}  // namespace karat::hopper
