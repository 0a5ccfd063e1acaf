// Private: a kernel ready to run. Each PTX instruction became a few micro-operations, each with the
// function that runs it; registers are places in a warp's register file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parse/syntax.hpp"
#include "units/lane_op.hpp"
#include "units/lanes.hpp"

namespace karat::ptx {

struct Warp;
struct MicroOp;

/// How a warp goes on after a micro-operation.
enum class Step : std::uint8_t {
  next,   ///< with the following one
  jump,   ///< where the operation put its program counter
  wait,   ///< with the same one, once others have run
  yield,  ///< with the following one, once others have run
};

class Witness;
enum class Moment : std::uint8_t;

using Run = Step (*)(const MicroOp& op, Warp& warp, std::uint32_t lanes);

/// Tells a witness what the operation does to shared memory and to the order between warps.
using Tell = void (*)(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                      Moment moment);

/// A byte offset into a warp's register file: 32 lanes of 4 or 8 bytes, or for a predicate 4 bytes
/// with a bit per lane.
using Place = std::uint32_t;
inline constexpr Place kNowhere = ~Place{0};

struct MicroOp {
  Run run = nullptr;
  Tell tell = nullptr;  ///< null where there is nothing to tell
  union {
    units::LaneOp::Run lane = nullptr;
    units::CompareOp::Run compare;
  };
  Place d = kNowhere, a = kNowhere, b = kNowhere, c = kNowhere;
  Place guard = kNowhere;
  std::uint32_t guard_flip = 0;   ///< all ones for @!p
  std::uint32_t instruction = 0;  ///< of the function's body
  std::uint32_t target = 0;       ///< of a branch: a micro-operation
  std::int64_t value = 0;         ///< an address offset, a count: the operation knows
  const void* detail = nullptr;   ///< what does not fit here, kept by the program
};

/// A value that stands in every lane of a place before a warp starts.
struct Constant {
  Place place = kNowhere;
  std::uint64_t bits = 0;
  std::uint8_t lane_bytes = 4;  ///< 0: a predicate, the bits of all lanes
};

enum class Special : std::uint8_t;
struct SpecialPlace {
  Place place = kNowhere;
  Special which{};
  std::uint8_t bytes = 4;  ///< of a lane; 0: a predicate
};

struct ParameterPlace {
  std::string name;
  std::uint64_t offset = 0, bytes = 0;
};

/// Registers an instruction names, predicates left out.
struct Named {
  std::vector<Place> reads, writes;
  bool counts = true;  ///< no mov, which the assembler may take out
};

struct Program {
  const Module* module = nullptr;
  const Function* function = nullptr;
  std::vector<MicroOp> code;              ///< ends with an exit
  std::vector<units::Fidelity> fidelity;  ///< per instruction of the body
  std::vector<Named> named;               ///< likewise; one more for the exit at the end
  std::vector<std::uint32_t> first;       ///< likewise: of its micro-operations
  std::vector<Place> register_places;     ///< of the function's registers; kNowhere: not used
  std::vector<Constant> constants;
  std::vector<SpecialPlace> specials;
  std::size_t file_bytes = 0;  ///< registers of a warp
  std::vector<std::shared_ptr<const void>> details;

  std::vector<ParameterPlace> parameters;
  std::uint64_t parameter_bytes = 0;
  std::uint32_t shared_end = 0;      ///< of static shared memory, from kSharedBase
  std::uint32_t dynamic_shared = 0;  ///< where dynamic shared memory begins
  std::uint64_t local_bytes = 0;     ///< of a thread
  /// It reads and writes global memory in one step, so that the order of CTAs could be seen.
  bool atomic = false;
  /// Accesses of global memory by which CTAs or warps may order others.
  bool synchronizes = false;
};

/// The name of an instruction and its line: "line 96: mul.lo.s32".
std::string shown(const Program& program, std::uint32_t instruction);

}  // namespace karat::ptx
