#include "hazards/hazards.hpp"

#include <algorithm>

namespace karat::ptx {
namespace {

constexpr std::size_t kMostReports = 64;

}  // namespace

Hazards::Hazards(const Cluster& cluster, GridTrace* grid)
    : cluster_(cluster),
      warps_of_cta_(cluster.ctas[0].warps.size()),
      warps_(warps_of_cta_ * cluster.ctas.size()),
      warpgroups_(has_wgmma(cluster) ? (warps_of_cta_ + 3) / 4 : 0),
      granules_of_cta_((cluster.ctas[0].shared.bytes.size() + kGranule - 1) / kGranule),
      known_(warps_),
      granules_(granules_of_cta_ * cluster.ctas.size()),
      reads_(granules_.size() * (warps_of_cta_ + warpgroups_)),
      remote_reads_(cluster.ctas.size() > 1 ? granules_.size() : 0),
      seen_(warps_),
      global_(cluster, grid),
      copies_(warps_),
      handed_(warps_),
      registers_(cluster) {
  for (std::size_t w = 0; w < warps_; ++w) {
    known_[w] = {Clock(warps_ + 1, 0), Clock(warps_ + 1, 0)};
    known_[w].all[w] = 1;
  }
  for (auto& each : pending_) each.resize(warps_);
  for (std::size_t i = 0; i < warpgroups_ * cluster.ctas.size(); ++i)
    wgmmas_.push_back(new_part(Part::wgmma));
}

void Hazards::join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size(), 0);
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

std::string Hazards::name_of(std::size_t who) const {
  const auto of_cta = [&](const std::string& name, std::size_t cta) {
    return cluster_.ctas.size() == 1 ? name : name + " of CTA " + std::to_string(cta);
  };
  if (who < warps_)
    return of_cta("warp " + std::to_string(who % warps_of_cta_), who / warps_of_cta_);
  switch (parts_[who - warps_]) {
    case Part::bulk:
      return "bulk engine";
    case Part::copy:
      return "cp.async";
    case Part::wgmma:
      break;
  }
  const std::size_t warpgroup = who - wgmmas_[0], first = warpgroup % warpgroups_ * 4;
  return of_cta("warps " + std::to_string(first) + " to " + std::to_string(first + 3),
                warpgroup / warpgroups_);
}

bool Hazards::is_new(std::uint32_t pc, std::uint32_t other_pc) {
  return found_.size() < kMostReports && pairs_.emplace(pc, other_pc).second;
}

void Hazards::report(const Warp& warp, const char* what, std::uint32_t address,
                     std::uint32_t other_pc, std::size_t other) {
  if (!is_new(warp.now.pc, other_pc)) return;
  const Program& program = *cluster_.program;
  found_.push_back(shown(program, program.code[warp.now.pc].instruction) + ", " +
                   name_of(who(warp)) + ": " + what + " at shared address " +
                   hexadecimal(inside_shared(address)) + "; the other access: " +
                   shown(program, program.code[other_pc].instruction) + ", " + name_of(other));
}

void Hazards::report(const Warp& warp, const HeldRegisters::Finding& finding) {
  if (!is_new(warp.now.pc, finding.other_pc)) return;
  const Program& program = *cluster_.program;
  std::string text = shown(program, program.code[warp.now.pc].instruction) + ", " +
                     name_of(who(warp)) + ": " + finding.what;
  if (finding.other_pc != warp.now.pc)
    text += "; the other access: " + shown(program, program.code[finding.other_pc].instruction);
  found_.push_back(std::move(text));
}

/// A generic access must know of the last write.
void Hazards::require_after_write(const Warp& warp, const Granule& granule, std::uint32_t address) {
  if (granule.copying != 0)
    return report(warp, "touches what a cp.async writes, before its wait_group", address,
                  granule.write.pc, granule.copying - 1u);
  const std::size_t writer = granule.writer;
  if (granule.write.clock > at(clock_of(warp), writer) && writer != who(warp))
    report(warp, "race with a write", address, granule.write.pc, writer);
}

void Hazards::require_writable(const Warp& warp, std::size_t index, std::uint32_t address) {
  require_after_write(warp, granules_[index], address);
  require_no_reader(warp, index, address);
}

void Hazards::require_no_reader(const Warp& warp, std::size_t index, std::uint32_t address) {
  const Granule& granule = granules_[index];
  if (granule.reading != 0)
    report(warp, "writes what wgmma or a bulk store may still read", address, granule.reader_pc,
           who(warp));
  const auto require = [&](const Access& read, std::size_t reader) {
    if (reader != who(warp) && read.clock > at(clock_of(warp), reader))
      report(warp, "race with a read", address, read.pc, reader);
  };
  const std::size_t first = cta_of(index) * warps_of_cta_;
  for (std::size_t w = 0; w < warps_of_cta_; ++w) require(read_of(index, w), first + w);
  for (std::size_t i = 0; i < warpgroups_; ++i)
    require(read_of(index, warps_of_cta_ + i), wgmmas_[cta_of(index) * warpgroups_ + i]);
  if (!remote_reads_.empty()) require(remote_reads_[index].access, remote_reads_[index].who);
}

void Hazards::set_read(const Warp& warp, std::size_t granule, std::uint32_t pc) {
  if (cta_of(granule) == warp.cta->rank)
    read_of(granule, warp.index) = {now(warp), pc};
  else
    remote_reads_[granule] = {{now(warp), pc}, static_cast<std::uint16_t>(who(warp))};
}

void Hazards::set_write(Granule& granule, std::size_t writer, std::uint32_t clock,
                        std::uint32_t pc) {
  granule.write = {clock, pc};
  granule.atomic = false;
  granule.writer = static_cast<std::uint16_t>(writer);
}

void Hazards::read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_granules(warp, begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_after_write(warp, granule, address);
    set_read(warp, i, warp.now.pc);
  });
}

void Hazards::require_no_mbarrier(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  begin = ranked(warp, begin);
  const auto found = live_.lower_bound(begin - 7);
  if (found != live_.end() && found->first < begin + bytes)
    report(warp, "writes over an mbarrier that was not invalidated,", found->first, found->second,
           who(warp));
}

void Hazards::mbarrier(const Warp& warp, std::uint32_t address, bool live) {
  address = ranked(warp, address);
  waiters_.erase(address);
  if (live) {
    write(warp, address, 8);
    live_[address] = warp.now.pc;
  } else {
    live_.erase(address);
    write(warp, address, 8);
  }
}

void Hazards::write(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_granules(warp, begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    require_writable(warp, i, address);
    set_write(granule, who(warp), now(warp), warp.now.pc);
  });
}

/// Atomics are in no order with each other, and need none.
void Hazards::atomic(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  for_granules(warp, begin, bytes, [&](std::size_t i, Granule& granule, std::uint32_t address) {
    if (!granule.atomic) require_after_write(warp, granule, address);
    require_no_reader(warp, i, address);
    set_write(granule, who(warp), now(warp), warp.now.pc);
    granule.atomic = true;
  });
}

}  // namespace karat::ptx
