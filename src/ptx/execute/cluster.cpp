// Warps take turns: each runs until it waits. When none can go on, that is a deadlock.
#include "execute/groups.hpp"
#include "execute/run.hpp"
#include "execute/watch.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

/// Operations a warp may run before the others get their turn, so that a loop that reads memory
/// until another warp has written it comes to an end.
constexpr std::uint64_t kTurn = 100'000;

std::string named(const Extent& at) {
  return "(" + std::to_string(at.x) + ", " + std::to_string(at.y) + ", " + std::to_string(at.z) +
         ")";
}

/// "kernel.ptx:96 (kernel.py:12): mul.lo.s32, CTA (0, 1, 0), warp 3"
std::string place_of(const Warp& warp, std::uint32_t pc) {
  const Program& program = *warp.cta->cluster->program;
  return shown(program, program.code[pc].instruction) + ", CTA " + named(warp.cta->position) +
         ", warp " + std::to_string(warp.index);
}

/// Runs a warp until it waits, yields, exits or has had its turn. @return whether it did anything
template <typename Watch>
bool run_turn(Warp& warp, Watch& watch) {
  Cluster& cluster = *warp.cta->cluster;
  const MicroOp* const code = cluster.program->code.data();
  std::uint64_t* const executed = cluster.worker->executed.data();
  std::uint64_t left = std::min(kTurn, cluster.limit - cluster.steps);
  const std::uint64_t given = left;
  bool moved = false;
  const auto over = [&] {
    cluster.steps += given - left;
    return moved;
  };
  for (; left > 0; --left) {
    const MicroOp& op = code[warp.now.pc];
    std::uint32_t lanes = warp.now.lanes;
    if (op.guard != kNowhere) {
      lanes &= warp.predicate(op.guard) ^ op.guard_flip;
      if (lanes == 0) {
        moved = true;
        if (++warp.now.pc >= warp.rejoin) rejoin(warp);
        continue;
      }
    }
    watch.before(warp, op, lanes);
    const Step step = op.run(op, warp, lanes);
    watch.after(warp, op, lanes, step);
    if (step == Step::wait) {
      warp.now.blocked = true;
      if (!change_group(warp)) return over();
      continue;
    }
    moved = true;
    ++executed[&op - code];
    if (step != Step::jump) ++warp.now.pc;
    if (warp.now.lanes == 0) {  // they have left
      if (!change_group(warp)) {
        --left;
        return over();
      }
      continue;
    }
    if (warp.now.pc >= warp.rejoin) rejoin(warp);
    if (step == Step::yield) {
      --left;
      break;
    }
  }
  return over();
}

std::string deadlock(const Cluster& cluster) {
  std::string text = "deadlock: no warp can go on";
  int named_warps = 0;
  for (const Cta& cta : cluster.ctas) {
    for (const Warp& warp : cta.warps) {
      if (warp.done()) continue;
      if (++named_warps > 32) continue;
      text += "; " + place_of(warp, warp.now.pc);
      for (const Group& each : warp.others)
        text += " and " + shown(*cluster.program, cluster.program->code[each.pc].instruction);
    }
  }
  return text;
}

template <typename Watch>
std::optional<std::string> run_warps(Cluster& cluster, Watch& watch) {
  Warp* running = nullptr;
  const auto fault_at = [&](int lane, const std::string& problem) {
    return place_of(*running, running->now.pc) +
           (lane >= 0 ? ", lane " + std::to_string(lane) : "") + ": " + problem;
  };
  try {
    for (;;) {
      bool moved = false, alive = false;
      for (Cta& cta : cluster.ctas) {
        for (Warp& warp : cta.warps) {
          if (warp.done()) continue;
          alive = true;
          running = &warp;
          unblock(warp);
          moved |= run_turn(warp, watch);
          if (cluster.steps >= cluster.limit)
            return fault_at(-1, "the limit of " + std::to_string(cluster.limit) +
                                    " warp instructions is reached; an endless loop, or raise it "
                                    "with --limit");
        }
      }
      if (!alive) return std::nullopt;
      if (!moved) return deadlock(cluster);
    }
  } catch (const Fault& fault) {
    return fault_at(fault.lane, fault.problem);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    return fault_at(-1, error.what());
  }
}

}  // namespace

std::optional<std::string> run_cluster(Cluster& cluster) {
  if (cluster.ctas[0].witness == nullptr) {
    Unwatched nobody;
    return run_warps(cluster, nobody);
  }
  Watched watched;
  return run_warps(cluster, watched);
}

}  // namespace karat::ptx
