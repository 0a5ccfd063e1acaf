#include "hazards/registers.hpp"

#include <algorithm>

namespace karat::ptx {

bool has_wgmma(const Cluster& cluster) {
  return std::ranges::any_of(cluster.program->function->body, [](const Instruction& each) {
    return each.opcode.starts_with("wgmma.mma_async");
  });
}

HeldRegisters::HeldRegisters(const Cluster& cluster) : any_(has_wgmma(cluster)) {
  if (!any_) return;
  warps_.resize(cluster.ctas.size() * cluster.ctas[0].warps.size());
  for (OfWarp& each : warps_) each.registers.resize(cluster.program->file_bytes / 128 + 1);
}

/// A mov between fence and wgmma does not count as a touch: compilers leave copies of tied operands
/// there, which the assembler takes out. What it copies was computed when it was: that counts.
std::optional<HeldRegisters::Finding> HeldRegisters::touch(const Warp& warp, const MicroOp& op) {
  if (!any_) return std::nullopt;
  const Program& program = *warp.cta->cluster->program;
  const Named& named = program.named[op.instruction];
  if (named.reads.empty() && named.writes.empty()) return std::nullopt;
  OfWarp& own = of(warp);
  std::optional<Finding> found;
  std::uint32_t computed = 0, computed_pc = 0;
  if (named.counts) computed = own.fences + 1, computed_pc = warp.now.pc;
  const auto visit = [&](Register& each, bool writes) {
    if (named.counts) {
      each.touched = own.fences + 1;
      each.touched_pc = warp.now.pc;
    }
    if (each.accumulates > 0 || (writes && each.feeds > 0))
      found = {"touches a register of a wgmma under way", each.pc};
  };
  for (const Place place : named.reads) {
    Register& each = at(own, place);
    visit(each, false);
    if (!named.counts && each.computed > computed)
      computed = each.computed, computed_pc = each.computed_pc;
  }
  for (const Place place : named.writes) {
    Register& each = at(own, place);
    visit(each, true);
    each.computed = computed;
    each.computed_pc = computed_pc;
  }
  return found;
}

std::optional<HeldRegisters::Finding> HeldRegisters::hold(const Warp& warp,
                                                          std::span<const Place> accumulator,
                                                          std::span<const Place> a) {
  OfWarp& own = of(warp);
  std::optional<Finding> found;
  const auto require_fence = [&](const Register& each) {
    if (each.touched > own.fences)
      found = {"wgmma takes a register that was touched with no wgmma.fence behind it",
               each.touched_pc};
    else if (each.computed > own.fences)
      found = {
          "wgmma takes what was computed, and moved to its register, with no wgmma.fence "
          "behind it",
          each.computed_pc};
  };
  if (own.fences == 0) found = {"wgmma with no wgmma.fence before it", warp.now.pc};
  for (const Place place : a) {
    Register& each = at(own, place);
    require_fence(each);
    if (each.accumulates > 0) found = {"wgmma reads a register of a wgmma under way", each.pc};
    ++each.feeds;
    each.pc = warp.now.pc;
  }
  std::uint32_t index = 0;
  for (const Place place : accumulator) {
    Register& each = at(own, place);
    const std::uint32_t position = static_cast<std::uint32_t>(accumulator.size()) << 16 | index++;
    require_fence(each);
    // One after the other on the same accumulator is in order by itself.
    if (each.feeds > 0 || (each.accumulates > 0 && each.position != position))
      found = {"wgmma writes a register of a wgmma under way", each.pc};
    ++each.accumulates;
    each.position = position;
    each.pc = warp.now.pc;
  }
  own.groups.add({accumulator, a});
  return found;
}

void HeldRegisters::fence(const Warp& warp) {
  if (any_) ++of(warp).fences;
}

void HeldRegisters::wait(const Warp& warp, std::size_t left) {
  if (!any_) return;
  OfWarp& own = of(warp);
  const std::uint64_t end = own.groups.end(left);
  while (const auto oldest = own.groups.take_before(end))
    for (const Held& each : oldest->items) {
      for (const Place place : each.accumulator) --at(own, place).accumulates;
      for (const Place place : each.a) --at(own, place).feeds;
    }
}

}  // namespace karat::ptx
