// Private: who sees every operation, but not what it means to others: taps, timelines.
#pragma once

#include "execute/state.hpp"

namespace karat::ptx {

class Observer {
 public:
  virtual ~Observer() = default;
  /// Before an operation runs on `lanes` (guard applied, not 0), once: not again after a wait.
  virtual void before(const Warp& warp, const MicroOp& op, std::uint32_t lanes) = 0;
  /// After it ran. With Step::wait it has not ended yet and comes again.
  virtual void after(const Warp& warp, const MicroOp& op, Step step) = 0;
};

}  // namespace karat::ptx
