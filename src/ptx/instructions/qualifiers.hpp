// Private: parts of opcodes that many instructions share.
#pragma once

#include "parse/syntax.hpp"
#include "units/opcode.hpp"

namespace karat::ptx {

/// The state space, taken out of the opcode; generic where it names none.
Space take_space(units::Opcode& opcode);
/// Takes out what says how, not what: caches, memory order, scope, volatility.
void take_hints(units::Opcode& opcode);

}  // namespace karat::ptx
