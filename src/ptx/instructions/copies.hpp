// Private: the kinds of asynchronous copies.
#pragma once

#include "program/decoder.hpp"

namespace karat::ptx {

/// The opcode without cp, reduce, async, bulk (and tensor).
void decode_bulk_copy(Decoder& in, units::Opcode& opcode, bool reduces);
void decode_tensor_copy(Decoder& in, units::Opcode& opcode, bool reduces);

/// Lanes of 64 bits that hold the address of an operand in brackets.
Place address64(Decoder& in, const Operand& operand);

}  // namespace karat::ptx
