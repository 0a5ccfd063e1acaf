// Private: registers that wgmma holds. Its accumulator is nobody's, and A in registers is nobody's
// to write, until its group has been waited for; and what touched one of them before it must have a
// wgmma.fence behind it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "execute/state.hpp"

namespace karat::ptx {

bool has_wgmma(const Cluster& cluster);

class HeldRegisters {
 public:
  explicit HeldRegisters(const Cluster& cluster);

  struct Finding {
    const char* what;
    std::uint32_t other_pc;
  };

  /// An operation reads and writes the registers its instruction names.
  std::optional<Finding> touch(const Warp& warp, const MicroOp& op);
  /// A wgmma takes its registers.
  std::optional<Finding> hold(const Warp& warp, std::span<const Place> accumulator,
                              std::span<const Place> a);
  /// wgmma.fence
  void fence(const Warp& warp);
  void commit(const Warp& warp) {
    if (any_) of(warp).groups.commit();
  }
  void wait(const Warp& warp, std::size_t left);

 private:
  struct Register {
    std::uint32_t accumulates = 0;              ///< wgmmas under way that add to it
    std::uint32_t feeds = 0;                    ///< wgmmas under way that read it as A
    std::uint32_t position = 0;                 ///< in the accumulator, and how large that is
    std::uint32_t pc = 0;                       ///< of the last wgmma that took it
    std::uint32_t touched = 0, touched_pc = 0;  ///< the fences before it then, plus one
    /// Likewise, when what it holds was computed: moves carry it on.
    std::uint32_t computed = 0, computed_pc = 0;
  };
  struct Held {
    std::span<const Place> accumulator, a;
  };
  struct OfWarp {
    std::vector<Register> registers;  ///< by place
    std::uint32_t fences = 0;
    NumberedGroups<Held> groups;
  };

  OfWarp& of(const Warp& warp) { return warps_[number_in_cluster(warp)]; }
  static Register& at(OfWarp& warp, Place place) { return warp.registers[place / 128]; }

  bool any_;  ///< whether the kernel has a wgmma at all
  std::vector<OfWarp> warps_;
};

}  // namespace karat::ptx
