// What a plan holds against what an SM has. Private to the hopper layer.
#pragma once

#include <array>

#include "karat/hopper/plan.hpp"

namespace karat::hopper {

inline constexpr int kOtherRegisters = 24;  // addresses, counters, row maxima and sums
inline constexpr double kBarrierBytes = 1024;
/// Head dimensions that tiles exist for; others are padded to the next.
inline constexpr std::array kInstructionDims = {64, 96, 128, 192, 256};

/// @throws Error(usage) saying whether registers or shared memory do not suffice
void check_fits(const Plan& plan, const Machine& machine);
/// CTAs that share an SM.
int residents(const Plan& plan, const Machine& machine);

}  // namespace karat::hopper
