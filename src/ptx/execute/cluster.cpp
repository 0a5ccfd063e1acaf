// Warps take turns: each runs until it waits. When none can go on, that is a deadlock.
#include <algorithm>

#include "execute/groups.hpp"
#include "execute/later.hpp"
#include "execute/run.hpp"
#include "execute/watch.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

/// Operations a warp may run before the others get their turn, so that a loop that reads memory
/// until another warp has written it comes to an end. The same goes for lanes of one warp.
constexpr std::uint64_t kTurn = 20'000;
/// Rounds in which somebody polled, after which work that was put off is done.
constexpr int kPatience = 64;

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

struct Turn {
  bool moved = false;   ///< it did anything
  bool polled = false;  ///< it did not wait, but looked or used its time up
};

/// Runs a warp until it waits, exits or has had its turn: each of its groups of lanes.
template <typename Watch>
Turn run_turn(Warp& warp, Watch& watch, std::uint64_t time) {
  Cluster& cluster = *warp.cta->cluster;
  const MicroOp* const code = cluster.program->code.data();
  std::uint64_t* const executed = cluster.worker->executed.data();
  Turn turn;
  std::uint64_t given = std::min(time, cluster.limit - cluster.steps), left = given;
  const auto over = [&] {
    cluster.steps += given - left;
    return turn;
  };
  /// The running group has had its time: another one gets as much.
  const auto next_group = [&] {
    turn.polled = true;
    warp.now.blocked = true;
    cluster.steps += given - left;
    given = left = std::min(time, cluster.limit - cluster.steps);
    return left > 0 && change_group(warp);
  };
  for (;; --left) {
    if (left == 0 && !next_group()) return over();
    const MicroOp& op = code[warp.now.pc];
    std::uint32_t lanes = warp.now.lanes;
    if (op.guard != kNowhere) {
      lanes &= warp.predicate(op.guard) ^ op.guard_flip;
      if (lanes == 0) {
        turn.moved = true;
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
    turn.moved = true;
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
      if (!next_group()) return over();
      ++left;
    }
  }
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

/// Warps in the order of their turns.
std::vector<Warp*> warps_of(Cluster& cluster) {
  std::vector<Warp*> list;
  for (Cta& cta : cluster.ctas)
    for (Warp& warp : cta.warps) list.push_back(&warp);
  if (cluster.schedule == Schedule::late) std::ranges::reverse(list);
  return list;
}

template <typename Watch>
std::optional<std::string> run_warps(Cluster& cluster, Watch& watch) {
  const Warp* running = nullptr;
  const auto fault_at = [&](const Warp& warp, std::uint32_t pc, int lane,
                            const std::string& problem) {
    return place_of(warp, pc) + (lane >= 0 ? ", lane " + std::to_string(lane) : "") + ": " +
           problem;
  };
  const bool random = cluster.schedule == Schedule::random;
  std::vector<Warp*> warps = warps_of(cluster);
  int patience = kPatience;
  try {
    for (;;) {
      bool alive = false;
      Turn round;
      if (random)
        for (std::size_t i = warps.size(); i > 1; --i)
          std::swap(warps[i - 1], warps[draw(cluster, i)]);
      for (Warp* const warp : warps) {
        if (warp->done()) continue;
        alive = true;
        running = warp;
        if (cluster.steps >= cluster.limit)
          return fault_at(*warp, warp->now.pc, -1,
                          "the limit of " + std::to_string(cluster.limit) +
                              " warp instructions is reached; an endless loop, or raise it with "
                              "--limit");
        unblock(*warp);
        const Turn turn = run_turn(*warp, watch, random ? 1 + draw(cluster, 400) : kTurn);
        round.moved |= turn.moved;
        round.polled |= turn.polled;
        if (random && !cluster.under_way.empty() && draw(cluster, 4) == 0) {
          do_oldest(cluster);
          round.moved = true;  // a warp that waited for it may go on
        }
      }
      if (!alive) return std::nullopt;
      if (round.moved && (!round.polled || --patience > 0)) continue;
      patience = kPatience;
      if (!cluster.under_way.empty())
        do_oldest(cluster);
      else if (!round.moved)
        return deadlock(cluster);
    }
  } catch (const Fault& fault) {
    const Warp& warp = fault.warp != nullptr ? *fault.warp : *running;
    return fault_at(warp, fault.warp != nullptr ? fault.pc : warp.now.pc, fault.lane,
                    fault.problem);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    return fault_at(*running, running->now.pc, -1, error.what());
  }
}

}  // namespace

std::optional<std::string> run_cluster(Cluster& cluster) {
  if (cluster.ctas[0].witness == nullptr && cluster.observers.empty()) {
    Unwatched nobody;
    return run_warps(cluster, nobody);
  }
  Watched watched;
  return run_warps(cluster, watched);
}

}  // namespace karat::ptx
