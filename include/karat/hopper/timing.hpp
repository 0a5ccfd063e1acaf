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
  double port_accumulate = 0.408;
  double port_per_instruction = 1.986;
  double misaligned_passes = 1.705;
  double unevenness = 0.5;
  double mask_ops = 2.03;
  double mma_sync_ports = 1.48;
  double cta_start = 1270;
  double dynamic_tile = 700;
  double varlen_tile = 2890;
  double varlen_store = 71.8;
  double list_read = 700;
  double launch_us = 5;
  double prepare_us = 2.43;
  double combine_us = 4.23;
  double idle_exponent = 0.242;
  double power_reference = 0.62;
  double tensor_exponent = 0.285;
  double warm_slope = 0.0237;
  double warm_ms = 24;
};

struct TimingConstant {
  std::string_view name;
  double Timing::*member;
  std::string_view unit;
  std::string_view source;  ///< "(fit)" first when fitted on the given H100 rows
};
std::span<const TimingConstant> timing_constants();

}  // namespace karat::hopper
