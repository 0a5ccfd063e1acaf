// What orders warps: barriers, mbarriers, fences; and global memory, which needs that order too.
#include "hazards/hazards.hpp"

namespace karat::ptx {
namespace {

constexpr std::size_t kMostMbarriers = 4096;

}  // namespace

void Hazards::require_few(std::size_t mbarriers) {
  if (mbarriers > kMostMbarriers)
    throw Fault{-1, "more than " + std::to_string(kMostMbarriers) +
                        " barriers and mbarriers are in use in one cluster"};
}

/// What the warp writes from now on is behind the fence.
void Hazards::fence(const Warp& warp) {
  Knowledge& known = known_[who(warp)];
  known.async = known.all;
  ++known.all[who(warp)];
}

void Hazards::release(const Warp& warp, Released what) {
  Knowledge& known = known_[who(warp)];
  Knowledge& fenced = fenced_[who(warp)];
  if (what == Released::all) {
    join(known.begun, known.all);
    fenced = known;
  } else {
    if (known.begun.size() <= who(warp)) known.begun.resize(who(warp) + 1, 0);
    known.begun[who(warp)] = now(warp);
    join(fenced.begun, known.begun);
  }
  ++known.all[who(warp)];
}

/// Whoever waits for a relaxed arrival sees that it has come, and what a fence before it released.
void Hazards::arrive(const Warp& warp, std::uint32_t key, Arrival how) {
  Knowledge& known = known_[who(warp)];
  if (how == Arrival::passes) require_round_over(warp, key);
  Knowledge& gathering = sync_of(key).gathering;
  if (how == Arrival::relaxed) {
    join(gathering, fenced_[who(warp)]);
    join(gathering.seen, known.all);
    join(gathering.seen, known.seen);
  } else {
    join(gathering, known);
  }
  ++known.all[who(warp)];
}

/// Of a CTA's named barriers: an mbarrier counts each arrival of a phase, and the cluster's barrier
/// each warp once.
void Hazards::require_round_over(const Warp& warp, std::uint32_t key) {
  if (key == kClusterKey || inside_shared(key) >= kSharedBase) return;
  const auto early = passings_.pass(
      key, who(warp), warp.now.pc,
      [&](std::size_t other, std::uint32_t clock) { return has_seen(warp, other, clock); });
  if (!early || !is_new(warp.now.pc, *early)) return;
  const Program& program = *cluster_.program;
  found_.push_back(shown(program, program.code[warp.now.pc].instruction) + ", " +
                   name_of(who(warp)) + ": arrives at barrier " +
                   std::to_string(inside_shared(key)) +
                   " again with no order behind the end of the round it arrived at before: one "
                   "round may count it twice; the other access: " +
                   shown(program, program.code[*early].instruction));
}

void Hazards::complete(std::uint32_t key) {
  Sync& sync = sync_of(key);
  require_waiters_known(key, sync.gathering);
  if (key != kClusterKey && inside_shared(key) < kSharedBase) {
    Clock arrived = sync.gathering.all;
    arrived.resize(std::min(arrived.size(), warps_));
    passings_.complete(key, arrived);
  }
  sync.released = std::move(sync.gathering);
  sync.gathering = {};
}

void Hazards::wait(const Warp& warp, std::uint32_t key) {
  join(known_[who(warp)], sync_of(key).released);
  met_[who(warp)] = now(warp);
  if (inside_shared(key) < kSharedBase) return;
  waiters_[key][who(warp)] = {now(warp), warp.now.pc};
  if (warpgroups_ > 0) seen_[who(warp)].insert(key);
}

/// A parity tells a phase from its neighbours alone: whoever looked for the end of one phase must
/// have seen it before the next one ends, or it sees the end of that one in its place, or none.
/// That a wgmma is over which a warp issued behind it says so too.
void Hazards::require_waiters_known(std::uint32_t key, const Knowledge& gathered) {
  const auto found = waiters_.find(key);
  if (found == waiters_.end()) return;
  for (const auto& [waiter, seen] : found->second) {
    const auto happened = [&](std::size_t who, std::uint64_t clock) {
      return at(gathered.all, who) >= clock || at(gathered.seen, who) >= clock;
    };
    const bool issued = seen.issued != 0 && happened(wgmmas_of(waiter), seen.issued);
    if (happened(waiter, seen.clock) || issued || !is_new(seen.pc, seen.pc)) continue;
    const Program& program = *cluster_.program;
    found_.push_back(shown(program, program.code[seen.pc].instruction) + ", " + name_of(waiter) +
                     ": waits for a phase of the mbarrier at " + hexadecimal(inside_shared(key)) +
                     " with no order to the end of the next one: a late waiter takes one phase "
                     "for another");
  }
  found->second.clear();
}

void Hazards::global(const Warp& warp, GlobalAccess access, std::uint64_t address,
                     std::uint64_t bytes) {
  // The access itself finds what lies outside every buffer. Atomics are in order with each other.
  if (access == GlobalAccess::atomic || cluster_.memory->find(address, bytes) == nullptr) return;
  const bool writes = access == GlobalAccess::write;
  if (grid_ != nullptr) grid_->add(number_, writes, address, bytes, warp.now.pc);
  const auto race = global_.access(warp, writes, address, bytes, known_[who(warp)].all);
  if (!race || !is_new(warp.now.pc, race->pc)) return;
  const Program& program = *cluster_.program;
  found_.push_back(shown(program, program.code[warp.now.pc].instruction) + ", " +
                   name_of(who(warp)) + ": race with a " + (race->written ? "write" : "read") +
                   " at global address " + hexadecimal(race->address) + "; the other access: " +
                   shown(program, program.code[race->pc].instruction) + ", " + name_of(race->who));
}

}  // namespace karat::ptx
