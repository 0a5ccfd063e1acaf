// The table of constants behind karat/hopper/timing.hpp.
#include "karat/hopper/timing.hpp"

#include <array>

namespace karat::hopper {
namespace {

constexpr std::array kConstants = {
    TimingConstant{"l2_latency", &Timing::l2_latency, "clk",
                   "pointer chase, near 258, far 414 (arXiv 2501.12084)"},
    TimingConstant{"hbm_latency", &Timing::hbm_latency, "clk",
                   "middle of 479 to 570 (arXiv 2402.13499, 2501.12084)"},
    TimingConstant{"tma_latency", &Timing::tma_latency, "clk",
                   "what TMA adds: middle of 105 to 170 (arXiv 2501.12084)"},
    TimingConstant{"tma_issue", &Timing::tma_issue, "clk",
                   "between two requests (HPMLL/NVIDIA-Hopper-Benchmark)"},
    TimingConstant{"mma_tail", &Timing::mma_tail, "clk",
                   "last wgmma step to readable accumulators (arXiv 2609.15311)"},
    TimingConstant{"barrier_wait", &Timing::barrier_wait, "clk",
                   "mbarrier try_wait (HPMLL/NVIDIA-Hopper-Benchmark)"},
    TimingConstant{"barrier_arrive", &Timing::barrier_arrive, "clk",
                   "mbarrier arrive (HPMLL/NVIDIA-Hopper-Benchmark)"},
    TimingConstant{"smem_latency", &Timing::smem_latency, "clk", "arXiv 2402.13499"},
    TimingConstant{"shuffle", &Timing::shuffle, "clk",
                   "taken as shared memory's latency, whose crossbar it uses"},
    TimingConstant{"mufu_clk_per_warp", &Timing::mufu_clk_per_warp, "clk",
                   "ex2 per warp and scheduler: middle of 8.5 to 9; 8 ideal (arXiv 2501.12084)"},
    TimingConstant{"mma_sync_share", &Timing::mma_sync_share, "share",
                   "of the wgmma peak (arXiv 2402.13499)"},
    TimingConstant{"l2_share", &Timing::l2_share, "share",
                   "of the measured read rate that scattered tile reads get (assumed; the given "
                   "rows do not depend on it)"},
    TimingConstant{"zero_gain", &Timing::zero_gain, "share",
                   "clock gained when all operands are zero: H200 GEMM 894 against 788 TFLOPS"},
    TimingConstant{"hbm_share", &Timing::hbm_share, "share",
                   "of the nominal rate: what the given streaming rows reach"},
    TimingConstant{"port_accumulate", &Timing::port_accumulate, "clk/clk",
                   "(fit) register-port clocks per wgmma clock at the H100's rate: accumulators "
                   "are read and written"},
    TimingConstant{"port_per_instruction", &Timing::port_per_instruction, "clk",
                   "(fit) register-port clocks per warp instruction and scheduler"},
    TimingConstant{
        "misaligned_passes", &Timing::misaligned_passes, "passes",
        "(fit) shared-memory writes of rows that are no multiple of 32 bytes (d = 72); nothing "
        "hides those beyond the first"},
    TimingConstant{"unevenness", &Timing::unevenness, "share",
                   "(fit) how far a round of the warpgroups lies between deterministic and "
                   "exponential service times"},
    TimingConstant{"mask_ops", &Timing::mask_ops, "instructions",
                   "(fit) per score of a masked block: column numbers, comparison, selection"},
    TimingConstant{"mma_sync_ports", &Timing::mma_sync_ports, "clk/clk",
                   "(fit) the same of mma.sync, whose operands pass through registers too"},
    TimingConstant{"cta_start", &Timing::cta_start, "clk",
                   "(fit) CTA start to the first TMA request"},
    TimingConstant{"dynamic_tile", &Timing::dynamic_tile, "clk",
                   "(fit) drawing a tile's number from a dynamic scheduler, until Q may be used"},
    TimingConstant{"varlen_tile", &Timing::varlen_tile, "clk",
                   "(fit) the same with varying lengths: the search for the tile's sequence"},
    TimingConstant{"varlen_store", &Timing::varlen_store, "clk/KiB",
                   "(fit) with varying lengths the consumers write O themselves, without TMA"},
    TimingConstant{"list_read", &Timing::list_read, "clk",
                   "(fit) reading which block comes next, hidden by nothing"},
    TimingConstant{"cluster_wait", &Timing::cluster_wait, "clk",
                   "(fit) per key block: K and V come when both CTAs of a cluster have freed "
                   "their place"},
    TimingConstant{"launch_us", &Timing::launch_us, "us",
                   "launch and drain of one kernel: 3 to 6 us in the literature"},
    TimingConstant{"reduce_passes", &Timing::reduce_passes, "passes",
                   "(open) L2 traffic of an addition to FP32 memory over its bytes: read and "
                   "written"},
    TimingConstant{
        "prepare_us", &Timing::prepare_us, "us",
        "(fit) the kernel in front of a launch of varying lengths or with a dynamic scheduler"},
    TimingConstant{"combine_us", &Timing::combine_us, "us",
                   "(fit) launch of the kernel that combines key splits"},
    TimingConstant{"combine_cta", &Timing::combine_cta, "clk",
                   "(fit) of an SM per CTA of that kernel, most of which find nothing to combine"},
    TimingConstant{"idle_exponent", &Timing::idle_exponent, "1",
                   "(fit) clock ~ (share of SM time in use)^-x under the power limit"},
    TimingConstant{"power_reference", &Timing::power_reference, "share",
                   "tensor-core use up to which a board holds clock_mhz: that of the given rows"},
    TimingConstant{"tensor_exponent", &Timing::tensor_exponent, "1",
                   "clock ~ (tensor-core use / power_reference)^-x beyond it: the given BF16 GEMM "
                   "rows above 1 ms run at 745 TFLOP/s, 0.93 of the tensor rate at 1482 MHz"},
    TimingConstant{"warm_slope", &Timing::warm_slope, "share/decade",
                   "(fit) clock above the sustained one in launches shorter than warm_ms, one "
                   "decade at most"},
    TimingConstant{"warm_ms", &Timing::warm_ms, "ms",
                   "(fit) launches this long run at the sustained clock"},
};

}  // namespace

std::span<const TimingConstant> timing_constants() { return kConstants; }

}  // namespace karat::hopper
