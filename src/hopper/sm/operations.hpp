// Operation counts over rates: matrix products and phases of lane operations. Private to the hopper
// layer.
#pragma once

#include <algorithm>
#include <cmath>

#include "durations.hpp"

namespace karat::hopper {

inline constexpr double kLanes = 128;  // lanes of the four schedulers together

/// Matrix instructions of one product.
struct Product {
  double clocks = 0, ports = 0, smem = 0;
};

/// One step of 64 x N takes N/2 clocks at 4096 (8192) FLOP/clk; 16 (BF16) or 32 (8-bit) deep.
/// @param a_rows rows of A that come from shared memory; the others are in registers
inline Product product(const Machine& m, const Timing& t, const Plan& p, Element element,
                       double rows, double depth, double columns, double a_rows) {
  const bool wide = element == Element::bf16;
  const double rate = wide ? m.bf16_flop_per_clk / 4096 : m.fp8_flop_per_clk / 8192;
  const double steps = std::ceil(depth * bytes_of(element) / 32);
  const double full = steps * rows / 64 * columns / 2;  // at the H100's rate
  const bool sync = p.matrix_path == MatrixPath::mma_sync;
  // mma.sync reads both operands through ldmatrix, once per 32 rows of a warp.
  const double b_reads = sync ? rows / 32 : std::ceil(rows / 64);
  return {.clocks = full / rate / (sync ? t.mma_sync_share : 1),
          .ports = full * (sync ? t.mma_sync_ports : t.port_accumulate),
          .smem = steps * (a_rows + columns * b_reads) * 32 / m.smem_bytes_per_clk};
}

/// A phase of lane operations; `instructions` issue on the register ports.
inline Phase phase(const Machine& m, const Timing& t, double alu, double mufu, double fp32,
                   double conversions) {
  Phase out;
  out.alu = alu / m.alu_per_clk;
  out.mufu = mufu / m.mufu_per_clk * (t.mufu_clk_per_warp / 8);
  out.fp32 = fp32 / m.fp32_per_clk;
  out.convert = conversions / m.conversions_per_clk;
  // Conversions pack two results into one instruction.
  out.ports = (alu + mufu + fp32 + conversions / 2) / kLanes * t.port_per_instruction;
  out.clocks = std::max({out.alu, out.mufu, out.fp32, out.convert, out.ports});
  return out;
}

}  // namespace karat::hopper
