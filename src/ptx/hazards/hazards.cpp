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
      known_(warps_),
      fenced_(warps_),
      shared_(cluster.ctas.size(), cluster.ctas[0].shared.bytes.size(),
              warps_of_cta_ + warpgroups_),
      wgmma_reads_(cluster.ctas.size(), warpgroups_),
      seen_(warps_),
      guests_(cluster.ctas.size()),
      global_(cluster),
      grid_(grid),
      copies_(warps_),
      stores_(warps_),
      multiplied_(warps_),
      handed_(warps_),
      registers_(cluster),
      met_(warps_),
      makes_maps_(makes_maps(cluster)) {
  const Extent& at = cluster.ctas[0].position;
  number_ = at.x + std::uint64_t{cluster.grid.x} * (at.y + std::uint64_t{cluster.grid.y} * at.z);
  for (std::size_t w = 0; w < warps_; ++w) {
    known_[w] = {Clock(warps_ + 1, 0), Clock(warps_ + 1, 0)};
    known_[w].all[w] = 1;
  }
  for (std::size_t i = 0; i < warpgroups_ * cluster.ctas.size(); ++i)
    wgmmas_.push_back(new_part(Part::wgmma));
}

std::size_t Hazards::most_bytes(std::size_t ctas, std::size_t shared_bytes, std::size_t warps) {
  return GlobalOrder::kMostBytes +
         SharedRecord::most_bytes(ctas, shared_bytes, warps + (warps + 3) / 4);
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
void Hazards::require_after_write(const Warp& warp, const Write& write, std::uint32_t address) {
  if (write.copying != 0)
    return report(warp, "touches what a cp.async writes, before its wait_group", address,
                  write.access.pc, write.copying - 1u);
  if (!knows(clock_of(warp), write) && write.writer != who(warp))
    report(warp, "race with a write", address, write.access.pc, write.writer);
}

bool Hazards::knows_reads(const Warp& warp, const Piece& piece) const {
  const Line& line = shared_.line(piece.line);
  if (line.storing != 0 || line.read_from_afar) return false;
  for (std::size_t r = 0; r < warps_of_cta_ + warpgroups_; ++r) {
    const std::uint32_t clock = shared_.newest_read(piece.line, r);
    if (clock == 0) continue;
    const std::size_t reader = reader_of_cta(piece.cta, r);
    if (reader != who(warp) && clock > at(clock_of(warp), reader)) return false;
  }
  return true;
}

void Hazards::require_writable(const Warp& warp, const Piece& piece) {
  if (!knows_writes(warp, shared_.line(piece.line)))
    for (std::size_t i = piece.begin; i < piece.end; ++i)
      require_after_write(warp, shared_.write(i), address_of(piece, i));
  require_no_reader(warp, piece);
}

void Hazards::require_no_reader(const Warp& warp, const Piece& piece) {
  require_wgmmas_over(warp, piece);
  if (knows_reads(warp, piece)) return;
  const Line& line = shared_.line(piece.line);
  for (std::size_t i = piece.begin; i < piece.end; ++i) {
    const std::uint32_t address = address_of(piece, i);
    if (line.storing != 0 && shared_.storing(i).count != 0)
      report(warp, "writes what wgmma or a bulk store may still read", address,
             shared_.storing(i).pc, who(warp));
    const auto require = [&](const Access& read, std::size_t reader) {
      if (reader != who(warp) && read.clock > at(clock_of(warp), reader))
        report(warp, "race with a read", address, read.pc, reader);
    };
    for (std::size_t r = 0; r < warps_of_cta_ + warpgroups_; ++r)
      require(shared_.read(i, r), reader_of_cta(piece.cta, r));
    if (line.read_from_afar)
      require(shared_.read_from_afar(i).access, shared_.read_from_afar(i).who);
  }
}

/// What wgmmas have read or may still read.
void Hazards::require_wgmmas_over(const Warp& warp, const Piece& piece) {
  if (warpgroups_ == 0) return;
  const auto done_by = [&](std::size_t warpgroup) {
    return wgmmas_[piece.cta * warpgroups_ + warpgroup];
  };
  const auto known = [&](const WgmmaReads::Operand& operand, std::size_t warpgroup) {
    return operand.done[warpgroup].clock <= at(clock_of(warp), done_by(warpgroup));
  };
  const std::uint64_t begin = address_of(piece, piece.begin);
  wgmma_reads_.for_met(
      piece.cta, begin, begin + (piece.end - piece.begin) * SharedRecord::kGranule,
      [&](const WgmmaReads::Operand& operand) {
        if (operand.under_way != 0) return true;
        for (std::size_t i = 0; i < warpgroups_; ++i)
          if (!known(operand, i)) return true;
        return false;
      },
      [&](const WgmmaReads::Operand& operand, std::uint64_t at) {
        const auto address = static_cast<std::uint32_t>(at);
        if (operand.under_way != 0)
          report(warp, "writes what wgmma or a bulk store may still read", address, operand.pc,
                 done_by(operand.warpgroup));
        for (std::size_t i = 0; i < warpgroups_; ++i)
          if (!known(operand, i))
            report(warp, "race with a read", address, operand.done[i].pc, done_by(i));
      });
}

void Hazards::set_reads(const Warp& warp, const Piece& piece, std::uint32_t pc) {
  const Access access{now(warp), pc};
  if (piece.cta == warp.cta->rank)
    return shared_.set_reads(piece.line, piece.begin, piece.end, warp.index, access);
  for (std::size_t i = piece.begin; i < piece.end; ++i)
    shared_.set_read_from_afar(i, {access, static_cast<std::uint16_t>(who(warp))});
}

void Hazards::read(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  visit(warp, begin);
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    if (!knows_writes(warp, shared_.line(piece.line)))
      for (std::size_t i = piece.begin; i < piece.end; ++i)
        require_after_write(warp, shared_.write(i), address_of(piece, i));
    set_reads(warp, piece, warp.now.pc);
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
  visit(warp, begin);
  if (!live_.empty()) require_no_mbarrier(warp, begin, bytes);
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    require_writable(warp, piece);
    Write write = write_by(who(warp), now(warp), warp.now.pc);
    if (makes_maps_) write.lane = lane_now(warp);
    shared_.set_write(piece.line, piece.begin, piece.end, write);
  });
}

/// Atomics are in no order with each other, and need none.
void Hazards::atomic(const Warp& warp, std::uint32_t begin, std::uint32_t bytes) {
  visit(warp, begin);
  for_pieces(warp, begin, bytes, [&](const Piece& piece) {
    for (std::size_t i = piece.begin; i < piece.end; ++i)
      if (!shared_.write(i).atomic)
        require_after_write(warp, shared_.write(i), address_of(piece, i));
    require_no_reader(warp, piece);
    Write write = write_by(who(warp), now(warp), warp.now.pc);
    write.atomic = true;
    shared_.set_write(piece.line, piece.begin, piece.end, write);
  });
}

}  // namespace karat::ptx
