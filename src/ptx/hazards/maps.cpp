// Tensor maps that a kernel makes: their image in shared memory, which lanes of a warp write by
// turns, and the copy in global memory, which the bulk engine sees behind a fence.
#include <algorithm>
#include <bit>

#include "hazards/hazards.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint32_t kMapBytes = 128;
/// Maps in global memory that are remembered of a cluster.
constexpr std::size_t kMostMaps = 1024;

std::uint8_t lane_of(std::uint32_t lanes) {
  return static_cast<std::uint8_t>(std::has_single_bit(lanes) ? std::countr_zero(lanes)
                                                              : SharedRecord::kLanes);
}

}  // namespace

bool Hazards::makes_maps(const Cluster& cluster) {
  return std::ranges::any_of(cluster.program->function->body, [](const Instruction& each) {
    return each.opcode.starts_with("tensormap.");
  });
}

/// Which lane the running instruction is of.
std::uint8_t Hazards::lane_now(const Warp& warp) const {
  const MicroOp& op = cluster_.program->code[warp.now.pc];
  const std::uint32_t guard = op.guard == kNowhere ? ~0u : warp.predicate(op.guard) ^ op.guard_flip;
  return lane_of(warp.now.lanes & guard);
}

void Hazards::meet_lanes(const Warp& warp) { met_[who(warp)] = ++clock_of(warp)[who(warp)]; }

/// Lanes of one warp are in no order with each other but by bar.warp.sync, or barriers and phases
/// that all have waited for. The clock is that of the lanes' last meeting until they meet again.
void Hazards::require_lanes_met(const Warp& warp, const Piece& piece, std::uint8_t lane) {
  for (std::size_t i = piece.begin; i < piece.end; ++i) {
    const Write& write = shared_.write(i);
    const bool own = write.writer == who(warp) && write.access.clock != 0;
    const bool alone = lane != SharedRecord::kLanes && write.lane == lane;
    if (own && !alone && write.access.clock >= met_[who(warp)])
      report(warp, "touches a tensor map that other lanes wrote, with no bar.warp.sync behind it,",
             address_of(piece, i), write.access.pc, write.writer);
  }
}

void Hazards::map_image(const Warp& warp, std::uint32_t lanes, std::uint32_t begin,
                        MapAccess access) {
  const std::uint8_t lane = lane_of(lanes);
  for_pieces(warp, begin, kMapBytes,
             [&](const Piece& piece) { require_lanes_met(warp, piece, lane); });
  if (access == MapAccess::read) return read(warp, begin, kMapBytes);
  if (!live_.empty()) require_no_mbarrier(warp, begin, kMapBytes);
  for_pieces(warp, begin, kMapBytes, [&](const Piece& piece) {
    require_writable(warp, piece);
    Write write = write_by(who(warp), now(warp), warp.now.pc);
    write.lane = lane;
    shared_.set_write(piece.line, piece.begin, piece.end, write);
  });
}

void Hazards::map(const Warp& warp, MapStep step, std::uint64_t address) {
  if (step == MapStep::write) {
    if (maps_.size() < kMostMaps || maps_.contains(address))
      maps_[address] = {who(warp), {now(warp), warp.now.pc}, {}};
    return global(warp, GlobalAccess::write, address, kMapBytes);
  }
  const auto found = maps_.find(address);
  if (found == maps_.end()) return;
  Map& map = found->second;
  const bool knows = map.writer == who(warp) || map.write.clock <= at(clock_of(warp), map.writer);
  if (step == MapStep::fence) {
    if (knows) map.fences[who(warp)] = now(warp);
    return;
  }
  for (const auto& [fencer, clock] : map.fences)
    if (fencer == who(warp) || clock <= at(clock_of(warp), fencer)) return;
  if (!is_new(warp.now.pc, map.write.pc)) return;
  const Program& program = *cluster_.program;
  found_.push_back(
      shown(program, program.code[warp.now.pc].instruction) + ", " + name_of(who(warp)) +
      ": uses the tensor map at global address " + hexadecimal(address) +
      " with no fence.proxy.tensormap behind its writing; the "
      "other access: " +
      shown(program, program.code[map.write.pc].instruction) + ", " + name_of(map.writer));
}

}  // namespace karat::ptx
