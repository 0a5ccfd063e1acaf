// What reason says of the fitted constants without the rows: a round value, and how far the
// logarithm may lie from it. Where rows say little, as when a source is left out, these are what
// remains. They were written down with earlier fits known, so they are no blind guesses; "(open)"
// marks those that rest on an order of magnitude alone, whose spreads are wide.
#pragma once

#include <array>
#include <string_view>

namespace karat::hopper {

struct Prior {
  std::string_view name;
  double value;
  double spread;  ///< standard deviation of ln(constant / value)
  std::string_view reason;
};

inline constexpr std::string_view kClock = "clock_mhz";
inline constexpr std::array kPriors = {
    Prior{kClock, 1600, 0.1, "H800 under load (reference measurements)"},
    Prior{"port_accumulate", 0.25, 0.3, "a step's accumulators pass the register file twice"},
    Prior{"port_per_instruction", 2, 0.3, "a warp's 32 lanes on 16 of a scheduler"},
    Prior{"misaligned_passes", 2, 0.3, "a row lies on two lines instead of one"},
    Prior{"unevenness", 0.1, 1, "(open) nearer to even (0) than to exponential (1) service times"},
    Prior{"mask_ops", 2, 0.3, "a comparison and a selection"},
    Prior{"mma_sync_ports", 1, 0.5, "both operands and the accumulators pass registers"},
    Prior{"cta_start", 2300, 0.35,
          "(open) 1 to 2 us at 1600 MHz from a CTA's launch to its first request"},
    Prior{"dynamic_tile", 1500, 0.7, "an atomic at L2, two barriers and Q's load"},
    Prior{"varlen_tile", 700, 0.5, "loads of sequence ends at L2 and a scan over a warp"},
    Prior{"varlen_store", 100, 1, "(open) line by line instead of a bulk copy"},
    Prior{"list_read", 400, 0.5, "two loads that depend on each other, from L2 or nearer"},
    Prior{"cluster_wait", 250, 0.5, "a barrier on the other SM, 180 to 213 clk away, and back"},
    Prior{"prepare_us", 1.5, 0.5,
          "(open) a kernel of one CTA, partly hidden by its successor's launch"},
    Prior{"combine_us", 2, 0.5, "(open) a launch that overlaps its predecessor's end"},
    Prior{"combine_cta", 125, 0.5, "a load from memory, 8 CTAs of 256 threads at a time"},
    Prior{"idle_exponent", 0.285, 0.3, "as tensor_exponent: what is not used draws less"},
    Prior{"warm_slope", 0.1, 0.7, "(open) a tenth of the clock per decade of time"},
    Prior{"warm_ms", 50, 1, "(open) the time in which a power limit acts"}};

}  // namespace karat::hopper
