// Where the time of a head goes, phase by phase of the fast engine.
#pragma once

#include <time.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "karat/attention/attend.hpp"

namespace karat::attention {

enum class Phase {
  pack_keys,    ///< K and V for the chains, once a head
  start_block,  ///< a query block's rows for the chain, its scales
  qk,           ///< Q K^T
  scores,       ///< scales, mask, maxima, alpha
  exponentials,
  cast,  ///< P to its format and back, saturation counted
  row_sums,
  pack_p,   ///< P's rows for the chain
  pv,       ///< P V
  rescale,  ///< of the outputs, and what adds T to them
  record,   ///< taps
  finish,
};
inline constexpr std::array<std::string_view, 12> kPhaseNames = {
    "pack K, V", "pack Q", "Q K^T", "scores, maxima",   "exponentials", "cast of P",
    "row sums",  "pack P", "P V",   "rescale, promote", "taps",         "finish"};

/// Seconds of processor time of each phase, added over workers.
struct PhaseSeconds {
  std::array<double, kPhaseNames.size()> of{};

  double& operator[](Phase phase) { return of[static_cast<std::size_t>(phase)]; }
  PhaseSeconds& operator+=(const PhaseSeconds& other) {
    for (std::size_t i = 0; i < of.size(); ++i) of[i] += other.of[i];
    return *this;
  }
};

/// attend(), adding to `seconds` what each phase of the fast engine takes.
HeadResult attend_by_phases(const recipe::Recipe& recipe, const layout::Layout& layout,
                            const QuantisedHead& head, const AttendOptions& options,
                            PhaseSeconds& seconds);

/// One worker's clock of its own processor time, always in one phase. A reading takes some 0.3 us,
/// so an engine that runs with it is a few hundredths slower.
class PhaseClock {
 public:
  void enter(Phase phase) {
    const double now = thread_seconds();
    if (running_) seconds_[phase_] += now - since_;
    running_ = true;
    phase_ = phase;
    since_ = now;
  }
  void stop() {
    enter(phase_);
    running_ = false;
  }
  const PhaseSeconds& seconds() const { return seconds_; }

 private:
  static double thread_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  }

  PhaseSeconds seconds_;
  Phase phase_ = Phase::pack_keys;
  double since_ = 0;
  bool running_ = false;
};

}  // namespace karat::attention
