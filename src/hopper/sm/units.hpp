// The shared hardware of one SM: who asked for how much of each unit, and until when it is taken.
// Private to the hopper layer.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "sm.hpp"

namespace karat::hopper {

/// For whom a unit works.
struct Who {
  int cta, group, block;
};

class Units {
 public:
  Units(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
        std::vector<Slice>* trace)
      : m_(machine), t_(timing), p_(plan), s_(supply), trace_(trace) {}

 protected:
  /// Counts work of a unit. A timeline shows what was asked of a unit one after another.
  void use(UnitId which, double begin, double clocks, Who w, const char* label) {
    const int u = static_cast<int>(which);
    busy_[u] += clocks;
    ++events_;
    if (!trace_ || clocks <= 0) return;
    begin = std::max(begin, shown_[u]);
    shown_[u] = begin + clocks;
    trace_->push_back({u, w.cta, w.group, begin, begin + clocks, label, w.block});
  }
  void show(Who w, double begin, double end, const char* label) {
    if (trace_) trace_->push_back({-1, w.cta, w.group, begin, end, label, w.block});
  }

  /// A load or store of `bytes`: the SM's port, and its shares of L2 and HBM, of which it may use
  /// what it has not used since the launch began.
  double transfer(double ready, double bytes, double l2_bytes, double hbm_bytes, Who w,
                  const char* label) {
    const double begin = std::max(ready, port_free_);
    const double clocks = bytes / s_.port_bytes_per_clk;
    port_free_ = begin + clocks;
    l2_used_ += l2_bytes / s_.l2_bytes_per_clk;
    hbm_used_ += hbm_bytes / s_.hbm_bytes_per_clk;
    use(UnitId::l2, begin, l2_bytes / s_.l2_bytes_per_clk, w, label);
    use(UnitId::hbm, begin, hbm_bytes / s_.hbm_bytes_per_clk, w, label);
    return std::max({port_free_, l2_used_, hbm_used_});
  }

  /// A TMA load whose request leaves not before `ready`; `sent` is its issuer's last request. A
  /// cluster asks L2 once for all its CTAs; what of each one's bytes comes from HBM stays the same.
  double load(double& sent, double ready, double bytes, double shared, double miss, double written,
              Who w, const char* label) {
    sent = std::max(sent, ready) + t_.tma_issue;
    const double latency = t_.tma_latency + t_.l2_latency + miss * (t_.hbm_latency - t_.l2_latency);
    const double end = transfer(sent + latency, bytes, bytes * shared, bytes * miss, w, label);
    use(UnitId::smem, end - written, written, w, label);
    return end;
  }

  /// Matrix instructions in their turn; returns when the results can be read.
  double matrix(double ready, double clocks, double busy, Who w, const char* label) {
    const double begin = std::max(ready, tensor_free_);
    tensor_free_ = begin + clocks;
    use(UnitId::tensor, begin, busy, w, label);
    return tensor_free_ + t_.mma_tail;
  }

  const Machine& m_;
  const Timing& t_;
  const Plan& p_;
  const Supply& s_;
  std::vector<Slice>* trace_;
  double tensor_free_ = 0, alu_free_ = 0, mufu_free_ = 0, convert_free_ = 0;
  double port_free_ = 0, l2_used_ = 0, hbm_used_ = 0;
  std::array<double, kUnits> busy_{}, shown_{};
  std::uint64_t events_ = 0;
};

}  // namespace karat::hopper
