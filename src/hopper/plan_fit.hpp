// What a plan holds against what an SM has. Private to the hopper layer.
#pragma once

#include <array>

#include "karat/hopper/plan.hpp"

namespace karat::hopper {

inline constexpr int kOtherRegisters = 24;  // addresses, counters, row maxima and sums
inline constexpr double kBarrierBytes = 1024;
/// Head dimensions that tiles exist for; others are padded to the next.
inline constexpr std::array kInstructionDims = {64, 96, 128, 192, 256};

/// Live values of a consumer thread in a forward: S and O while QK runs (with overlap beside the P
/// that PV of the previous block reads); P, O and, with promotion, PV's own sums while PV runs. P
/// takes S's registers as it is converted.
int registers_needed(const Plan& plan);
/// Bytes of Q, the stages of K and V (V twice where it is transposed) and, where it passes through
/// shared memory, P.
double smem_needed(const Plan& plan);

/// @throws Error(usage) saying whether registers or shared memory do not suffice
void check_fits(const Plan& plan, const Machine& machine);
/// CTAs that share an SM.
int residents(const Plan& plan, const Machine& machine);

}  // namespace karat::hopper
