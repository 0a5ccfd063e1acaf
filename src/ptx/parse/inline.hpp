// Private: calls become the bodies of the functions they call.
#pragma once

#include "parse/syntax.hpp"

namespace karat::ptx {

/// Puts the bodies of called functions in place of the calls, with registers and local variables of
/// their own; arguments are the .param variables that the caller names. vprintf prints nothing and
/// returns 0. A call stays where that cannot be: of a function without a body, by address, of a
/// function that calls itself, with arguments in registers, of one that takes an argument's
/// address, and where a kernel would grow beyond 2^20 instructions.
void inline_calls(const Module& module, Function& kernel);

}  // namespace karat::ptx
