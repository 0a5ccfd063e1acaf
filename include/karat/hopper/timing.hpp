// Constants common to all Hopper SMs: latencies from the literature and the few fitted numbers.
// timing_constants() lists each with unit and source, for documents, JSON output and the fit.
#pragma once

#include <span>
#include <string_view>

namespace karat::hopper {

/// Units and sources stand in the table of timing.cpp, which docs/time-model.md repeats.
struct Timing {
  // From the literature.
  double l2_latency = 263;
  double hbm_latency = 525;
  double tma_latency = 140;
  double tma_issue = 32;
  double mma_tail = 65;
  double barrier_wait = 32;
  double barrier_arrive = 29;
  double smem_latency = 29;
  double shuffle = 29;
  double mufu_clk_per_warp = 8.75;
  double mma_sync_share = 0.63;
  double l2_share = 0.80;
  double zero_gain = 0.134;
  double hbm_share = 0.91;
  // Fitted on the measured rows.
  double port_accumulate = 0.2542;
  double port_per_instruction = 2.312;
  double misaligned_passes = 1.629;
  double unevenness = 0.1177;
  double mask_ops = 2.206;
  double mma_sync_ports = 1.087;
  double cta_start = 2719;
  double dynamic_tile = 2546;
  double varlen_tile = 645.6;
  double varlen_store = 93.79;
  double list_read = 449.1;
  double cluster_wait = 287.5;
  double launch_us = 5;
  double reduce_passes = 2;
  double prepare_us = 1.185;
  double combine_us = 2.034;
  double combine_cta = 159.3;
  double idle_exponent = 0.2411;
  double power_reference = 0.62;
  double tensor_exponent = 0.285;
  double warm_slope = 0.09317;
  double warm_ms = 49.86;
};

struct TimingConstant {
  std::string_view name;
  double Timing::*member;
  std::string_view unit;
  std::string_view source;  ///< "(fit)" first when fitted on the given H100 rows
};
std::span<const TimingConstant> timing_constants();

}  // namespace karat::hopper
