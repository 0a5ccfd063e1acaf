#include "watch/taps.hpp"

#include <algorithm>
#include <cstring>
#include <set>

#include "execute/locate.hpp"
#include "karat/numerics/base/error.hpp"
#include "watch/tap_tile.hpp"

namespace karat::ptx {
namespace {

/// Bytes all taps of a launch may record.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;

[[noreturn]] void refuse(const Tap& tap, const std::string& problem,
                         const std::string& action = {}) {
  throw Error(ErrorKind::usage, "tap " + tap.stage, problem, action);
}

std::uint32_t micro_operation_at(const Tap& tap, const Program& program) {
  const auto& body = program.function->body;
  for (std::size_t i = 0; i < body.size(); ++i)
    if (body[i].at.line == tap.line) return program.first[i];
  refuse(tap,
         "line " + std::to_string(tap.line) + " has no instruction of " + program.function->name);
}

Place register_named(const Tap& tap, const Program& program, const std::string& name) {
  const auto& registers = program.function->registers;
  for (std::size_t i = 0; i < registers.size(); ++i) {
    if (registers[i].name != name || program.register_places[i] == kNowhere) continue;
    if (registers[i].type.bytes != 4 && registers[i].type.bytes != 2)
      refuse(tap, name + " has not 32 or 16 bits");
    return program.register_places[i];
  }
  refuse(tap, "no instruction names register " + name);
}

std::string named(std::string stage, const Extent& at) {
  const auto put = [&](const std::string& mark, std::uint32_t value) {
    for (std::size_t i; (i = stage.find(mark)) != std::string::npos;)
      stage.replace(i, mark.size(), std::to_string(value));
  };
  put("{x}", at.x);
  put("{y}", at.y);
  put("{z}", at.z);
  return stage;
}

bool wants(const Tap& tap, const Warp& warp) {
  const std::uint32_t from = tap.first_warp;
  if (warp.index < from || (tap.warps != 0 && warp.index >= from + tap.warps)) return false;
  if (tap.registers.empty() && warp.index != from) return false;
  if (tap.ctas.empty()) return true;
  const Extent& at = warp.cta->position;
  return std::ranges::any_of(tap.ctas, [&](const std::vector<std::uint32_t>& each) {
    return each[0] == at.x && (each.size() < 2 ? 0 : each[1]) == at.y &&
           (each.size() < 3 ? 0 : each[2]) == at.z;
  });
}

/// Bits 4 to 6 of an address are changed by those above, as the copy engine does it.
std::uint32_t swizzled(std::uint32_t address, const std::string& swizzle) {
  const std::uint32_t mask = swizzle == "128B"  ? 0x70
                             : swizzle == "64B" ? 0x30
                             : swizzle == "32B" ? 0x10
                                                : 0;
  return address ^ (address >> 3 & mask);
}

}  // namespace

class TapObserver final : public Observer {
 public:
  explicit TapObserver(Taps& taps) : taps_(taps) {}

  void before(const Warp& warp, const MicroOp& op, std::uint32_t lanes) override {
    const auto found = taps_.places_.find(
        static_cast<std::uint32_t>(&op - warp.cta->cluster->program->code.data()));
    if (found == taps_.places_.end()) return;
    for (const Taps::Placed& each : found->second)
      if (wants(*each.tap, warp)) record(each, warp, lanes);
  }
  void after(const Warp&, const MicroOp&, Step) override {}

 private:
  void record(const Taps::Placed& placed, const Warp& warp, std::uint32_t lanes) {
    const Tap& tap = *placed.tap;
    if (!tap.registers.empty() && lanes != ~0u)
      throw Fault{-1, "tap " + tap.stage + ": not all lanes are here"};
    const std::vector<std::byte> values =
        tap.registers.empty() ? memory(tap, warp) : registers(placed, warp);
    const std::lock_guard lock(taps_.guard_);
    const std::string name = named(tap.stage, warp.cta->position);
    Taps::Recorded& recorded = taps_.recorded_[name];
    const std::size_t all = tap.registers.empty() ? 1
                            : tap.warps != 0      ? tap.warps
                                                  : warp.cta->warps.size() - tap.first_warp;
    if (recorded.placed == nullptr) {
      recorded.placed = &placed;
      recorded.warps.resize(all);
    }
    if (recorded.placed != &placed)
      throw Fault{-1, "tap " + name + ": the launch has two of this name"};
    std::vector<std::byte>& to = recorded.warps[warp.index - tap.first_warp];
    if (tap.visits == TapVisits::last) to.clear();
    to.insert(to.end(), values.begin(), values.end());
    if ((taps_.bytes_ += values.size()) > kMostBytes)
      throw Fault{-1, "taps record more than 4 GiB; name CTAs"};
  }

  static std::vector<std::byte> registers(const Taps::Placed& placed, const Warp& warp) {
    const std::size_t bytes = files::info(placed.tap->dtype).size;
    const std::size_t each = std::min<std::size_t>(4, placed.register_bytes);
    std::vector<std::byte> values(32 * placed.elements * bytes);
    std::byte* to = values.data();
    for (std::size_t lane = 0; lane < 32; ++lane)
      for (const Place place : placed.registers) {
        std::memcpy(to, warp.lanes<std::uint32_t>(place) + lane, each);
        to += each;
      }
    return values;
  }

  static std::vector<std::byte> memory(const Tap& tap, const Warp& warp) {
    const std::size_t bytes = files::info(tap.dtype).size;
    const std::uint64_t all = tap.memory.rows * tap.memory.columns * bytes;
    std::vector<std::byte> values(all);
    for (std::uint64_t i = 0; i < all; i += bytes) {
      const std::uint32_t at =
          swizzled(tap.memory.address + static_cast<std::uint32_t>(i), tap.memory.swizzle);
      std::memcpy(values.data() + i,
                  locate(const_cast<Warp&>(warp), Space::shared, at, bytes, 0, MemoryAccess::read),
                  bytes);
    }
    return values;
  }

  Taps& taps_;
};

Taps::Placed Taps::place(const Tap& tap, const Program& program) const {
  Placed placed{.tap = &tap};
  const std::uint64_t bytes = files::info(tap.dtype).size;
  if (tap.registers.empty()) return placed;
  std::set<int> widths;
  for (const std::string& each : tap.registers) {
    placed.registers.push_back(register_named(tap, program, each));
    for (const Register& one : program.function->registers)
      if (one.name == each) widths.insert(one.type.bytes);
  }
  if (widths.size() != 1) refuse(tap, "its registers are not of one width");
  placed.register_bytes = static_cast<std::size_t>(*widths.begin());
  if (bytes > placed.register_bytes)
    refuse(tap, "its registers have " + std::to_string(placed.register_bytes) +
                    " bytes, an element " + std::to_string(bytes));
  placed.elements = placed.registers.size() * placed.register_bytes / bytes;
  const std::uint64_t whole = tap.layout == TapLayout::accumulator ? 4
                              : tap.layout == TapLayout::operand   ? 16 / bytes
                              : tap.layout == TapLayout::rows      ? 2
                                                                   : 1;
  if (placed.elements % whole != 0 || (tap.layout == TapLayout::rows && placed.elements != 2))
    refuse(tap, std::to_string(placed.elements) + " elements a lane do not fit its layout");
  if (tap.layout == TapLayout::operand && placed.register_bytes != 4)
    refuse(tap, "operands are in registers of 32 bits");
  return placed;
}

Taps::Taps(const std::vector<Tap>& taps, const Program& program) {
  for (const Tap& each : taps)
    places_[micro_operation_at(each, program)].push_back(place(each, program));
}

Taps::~Taps() = default;

Observer* Taps::observer() {
  const std::lock_guard lock(guard_);
  observers_.push_back(std::make_unique<TapObserver>(*this));
  return observers_.back().get();
}

files::Tensors Taps::take() {
  files::Tensors tensors;
  for (auto& [name, recorded] : recorded_) {
    const Tap& tap = *recorded.placed->tap;
    if (!tap.registers.empty()) {
      tensors.emplace(name, tile_of(tap, recorded.placed->elements, recorded.warps));
      continue;
    }
    const std::uint64_t bytes = files::info(tap.dtype).size;
    const std::uint64_t visits =
        recorded.warps[0].size() / (bytes * tap.memory.rows * tap.memory.columns);
    files::Shape shape{tap.memory.rows, tap.memory.columns};
    if (tap.visits != TapVisits::last) shape.insert(shape.begin(), visits);
    tensors.emplace(name, files::Tensor{tap.dtype, shape, std::move(recorded.warps[0])});
  }
  for (const auto& [at, list] : places_)
    for (const Placed& each : list)
      if (std::ranges::none_of(recorded_,
                               [&](const auto& entry) { return entry.second.placed == &each; }))
        refuse(*each.tap, "no warp came to line " + std::to_string(each.tap->line));
  return tensors;
}

}  // namespace karat::ptx
