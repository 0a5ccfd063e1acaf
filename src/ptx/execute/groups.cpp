#include "execute/groups.hpp"

#include <algorithm>

namespace karat::ptx {
namespace {

void find_rejoin(Warp& warp) {
  warp.rejoin = ~0u;
  for (const Group& each : warp.others)
    if (!each.blocked) warp.rejoin = std::min(warp.rejoin, each.pc);
}

/// Groups that have begun an instruction stay by themselves until it is over.
bool free(const Group& group) { return group.pending.kind == Pending::Kind::none; }

void join(Warp& warp) {
  if (!free(warp.now)) return;
  std::erase_if(warp.others, [&](const Group& each) {
    if (each.pc != warp.now.pc || !free(each)) return false;
    warp.now.lanes |= each.lanes;
    return true;
  });
}

/// The lowest group that is not blocked takes the place of the running one.
void run_lowest(Warp& warp) {
  const auto lowest = std::ranges::min_element(warp.others, {}, [](const Group& each) {
    return each.blocked ? std::uint64_t{1} << 32 : std::uint64_t{each.pc};
  });
  std::swap(warp.now, *lowest);
}

}  // namespace

Parties meet(const MicroOp& op, Warp& warp, std::uint32_t lanes, std::uint32_t wanted) {
  Parties parties{.list = {{{&op, lanes}}}, .count = 1};
  if (converged(warp, wanted)) return parties;
  const Program& program = *warp.cta->cluster->program;
  const auto opcode = [&](const MicroOp& each) -> const std::string& {
    return program.function->body[each.instruction].opcode;
  };
  const auto takes_part = [&](const Group& each) {
    const MicroOp& other = program.code[each.pc];
    return (each.lanes & wanted) != 0 && free(each) && other.run == op.run &&
           opcode(other) == opcode(op);
  };
  std::uint32_t there = warp.now.lanes;
  for (const Group& each : warp.others)
    if (takes_part(each)) there |= each.lanes;
  if ((wanted & warp.alive & ~there) != 0) return {};
  for (Group& each : warp.others) {
    if (!takes_part(each)) continue;
    const MicroOp& other = program.code[each.pc];
    std::uint32_t running = each.lanes;
    if (other.guard != kNowhere) running &= warp.predicate(other.guard) ^ other.guard_flip;
    parties.list[parties.count++] = {&other, running};
    ++each.pc;
    each.blocked = false;
  }
  find_rejoin(warp);
  return parties;
}

void split(Warp& warp, std::uint32_t taken, std::uint32_t target) {
  warp.others.push_back({.pc = target, .lanes = taken});
  warp.now.lanes &= ~taken;
  warp.rejoin = std::min(warp.rejoin, target);
}

void rejoin(Warp& warp) {
  join(warp);
  find_rejoin(warp);
  if (warp.now.pc > warp.rejoin) {
    run_lowest(warp);
    join(warp);
    find_rejoin(warp);
  }
}

void leave(Warp& warp, std::uint32_t lanes) {
  warp.alive &= ~lanes;
  warp.now.lanes &= ~lanes;
}

bool change_group(Warp& warp) {
  find_rejoin(warp);
  if (warp.rejoin == ~0u) return false;
  run_lowest(warp);
  std::erase_if(warp.others, [](const Group& each) { return each.lanes == 0; });
  join(warp);
  find_rejoin(warp);
  return true;
}

void unblock(Warp& warp) {
  warp.now.blocked = false;
  for (Group& each : warp.others) each.blocked = false;
  if (warp.now.lanes == 0) {
    change_group(warp);
    return;
  }
  find_rejoin(warp);
  if (warp.now.pc >= warp.rejoin) rejoin(warp);
}

}  // namespace karat::ptx
