// Clocks of everything one actor does for one block or tile. Private to the hopper layer.
#pragma once

#include "sm.hpp"

namespace karat::hopper {

/// Clocks that a phase keeps each unit busy, and how long it takes when nobody else is there.
struct Phase {
  double clocks = 0;
  double alu = 0, mufu = 0, fp32 = 0, convert = 0, ports = 0, smem = 0;
};

/// One actor is a warpgroup; in lockstep all warpgroups of a CTA are one.
struct Durations {
  int actors = 1;
  double rows = 64;                 ///< of an actor
  double qk = 0, pv = 0;            ///< tensor core, with what register ports and shared memory add
  double qk_busy = 0, pv_busy = 0;  ///< the instructions alone
  double matrix_ports = 0;          ///< of both products
  double matrix_smem = 0;           ///< operand reads of both products
  Phase mask;                       ///< what a masked block adds to the row maximum
  Phase maximum, exponent, probabilities, rescale, finish;
  double promote = 0;    ///< FP32 additions of PV's sums, per block
  double transpose = 0;  ///< V of a block, by the producer
  double transpose_alu = 0, transpose_smem = 0;
  double q_bytes = 0, k_bytes = 0, v_bytes = 0, o_bytes = 0;  ///< that exist, of a CTA
  double k_written = 0, v_written = 0, q_written = 0;         ///< to shared memory, clocks
};

/// @param residents CTAs that share the SM; a lone actor without overlap meets nobody
/// @param masked_share of the blocks
Durations durations(const Machine& machine, const Timing& timing, const Plan& plan,
                    const Supply& supply, int residents, double masked_share);

}  // namespace karat::hopper
