// Private: which function decodes an instruction, by the part of its opcode before the first dot.
// A file of this folder holds one trade: how its instructions are decoded and how they run.
#pragma once

#include <cstdint>
#include <string_view>

#include "program/decoder.hpp"

namespace karat::ptx {

struct Family {
  std::string_view name;
  void (*decode)(Decoder&);
};

/// Null for an unknown name.
const Family* family_named(std::string_view name);

// Runs that others emit or look for.
Step branch(const MicroOp& op, Warp& warp, std::uint32_t lanes);
Step branch_by_index(const MicroOp& op, Warp& warp, std::uint32_t lanes);
Step leave_kernel(const MicroOp& op, Warp& warp, std::uint32_t lanes);
void tell_leaving(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                  Moment moment);
Step read_clock(const MicroOp& op, Warp& warp, std::uint32_t lanes);
Step invert_predicate(const MicroOp& op, Warp& warp, std::uint32_t lanes);

void decode_lane_op(Decoder& in);  // lanes.cpp: arithmetic, conversions
void decode_carry(Decoder& in);    // carries.cpp
void decode_bfi(Decoder& in);
void decode_lop3(Decoder& in);
void decode_mov(Decoder& in);  // moves.cpp
void decode_selp(Decoder& in);
void decode_setp(Decoder& in);  // predicates.cpp
void decode_set(Decoder& in);
void decode_logic(Decoder& in);
void decode_bra(Decoder& in);  // control.cpp
void decode_brx(Decoder& in);
void decode_exit(Decoder& in);
void decode_trap(Decoder& in);
void decode_call(Decoder& in);
void decode_nothing(Decoder& in);  // hints.cpp
void decode_fence(Decoder& in);
void decode_load(Decoder& in);  // memory.cpp
void decode_store(Decoder& in);
void decode_atomic(Decoder& in);       // atomics.cpp
void decode_async_store(Decoder& in);  // async_stores.cpp
void decode_cvta(Decoder& in);         // addresses.cpp
void decode_mapa(Decoder& in);
void decode_isspacep(Decoder& in);
void decode_bar(Decoder& in);        // barriers.cpp
void decode_mbarrier(Decoder& in);   // mbarriers.cpp
void decode_cp(Decoder& in);         // copies.cpp
void decode_tensormap(Decoder& in);  // tensor_maps.cpp
void decode_wgmma(Decoder& in);      // wgmma.cpp
void decode_mma(Decoder& in);        // mma.cpp
void decode_matrix_move(Decoder& in);
void decode_shfl(Decoder& in);  // exchange.cpp
void decode_vote(Decoder& in);
void decode_match(Decoder& in);
void decode_elect(Decoder& in);
void decode_redux(Decoder& in);
void decode_activemask(Decoder& in);

}  // namespace karat::ptx
