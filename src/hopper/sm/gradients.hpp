// Backward passes on one SM. Private to the hopper layer.
//
// A CTA keeps one outer block (keys, or queries of the pass that computes dQ alone) and walks the
// inner blocks. Per inner block every warpgroup issues S and dP, takes P = exp2(S c - lse) and
// dS = P (dP - delta), issues dV; all warpgroups meet, since a product over the outer rows needs
// everybody's dS; then dQ and dK. Nothing of the next inner block begins before the last product is
// read (FlashAttention-3's mainloop waits for it; Triton's does).
#pragma once

#include "sm.hpp"

namespace karat::hopper {

/// As run_sm(), for a plan whose pass is not the forward.
SmRun run_gradients(const Machine& machine, const Timing& timing, const Plan& plan,
                    const Supply& supply, int residents, std::span<const TileWork> tiles,
                    std::vector<Slice>* trace);

}  // namespace karat::hopper
