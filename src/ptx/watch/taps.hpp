// Private: recording taps while warps run.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "execute/observer.hpp"
#include "karat/ptx/tap.hpp"

namespace karat::ptx {

/// All taps of a launch.
class Taps {
 public:
  /// @throws Error(usage) for a line with no instruction, a register the kernel does not have, a
  /// type that does not fit the registers
  Taps(const std::vector<Tap>& taps, const Program& program);
  ~Taps();

  bool none() const { return places_.empty(); }
  /// What looks at a cluster's CTAs; it belongs to the taps. Safe from several threads.
  Observer* observer();
  /// What was recorded, by stage. @throws Error(usage) for a stage that two taps or CTAs wrote, or
  /// whose warps did not come equally often
  files::Tensors take();

 private:
  friend class TapObserver;
  struct Placed {
    const Tap* tap = nullptr;
    std::vector<Place> registers;
    std::size_t register_bytes = 4;
    std::uint64_t elements = 0;  ///< of a lane and visit
  };
  /// A stage of one CTA: per warp the values of all visits, lane by lane.
  struct Recorded {
    const Placed* placed = nullptr;
    std::vector<std::vector<std::byte>> warps;
  };
  Placed place(const Tap& tap, const Program& program) const;

  std::unordered_map<std::uint32_t, std::vector<Placed>> places_;  ///< by micro-operation
  std::mutex guard_;
  std::uint64_t bytes_ = 0;
  std::map<std::string, Recorded> recorded_;
  std::vector<std::unique_ptr<Observer>> observers_;
};

}  // namespace karat::ptx
