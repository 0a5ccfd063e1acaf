// mma.sync, ldmatrix, stmatrix, movmatrix: matrices in the registers of one warp.
#include "execute/groups.hpp"
#include "execute/lane_ranges.hpp"
#include "execute/witness.hpp"
#include "instructions/families.hpp"
#include "units/matrix_move.hpp"

namespace karat::ptx {
namespace {

void require_whole(const Warp& warp, std::uint32_t lanes) {
  if (lanes != ~0u && warp.others.empty()) throw Fault{-1, "not all lanes of the warp are there"};
}

struct MmaDetail {
  units::MmaOp op;
  std::vector<Place> d, a, b, c;
};

template <typename Lane>
std::vector<Lane*> arrays(const Warp& warp, const std::vector<Place>& places) {
  std::vector<Lane*> list;
  for (const Place place : places) list.push_back(warp.lanes<std::uint32_t>(place));
  return list;
}

Step run_mma(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  if (lanes != ~0u && !warp.others.empty()) return Step::wait;
  require_whole(warp, lanes);
  const MmaDetail& detail = *static_cast<const MmaDetail*>(op.detail);
  using Read = const std::uint32_t;
  const auto a = arrays<Read>(warp, detail.a), b = arrays<Read>(warp, detail.b),
             c = arrays<Read>(warp, detail.c);
  const auto d = arrays<std::uint32_t>(warp, detail.d);
  warp.cta->cluster->worker->mma.run(detail.op, d, a, b, c);
  return Step::next;
}

struct MoveDetail {
  units::MatrixMoveOp op;
  std::vector<Place> registers;
  Place addresses = 0;
};

template <bool kStores>
Step run_move(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  if (lanes != ~0u && !warp.others.empty()) return Step::wait;
  require_whole(warp, lanes);
  const MoveDetail& detail = *static_cast<const MoveDetail*>(op.detail);
  const std::uint32_t* const addresses = warp.lanes<std::uint32_t>(detail.addresses);
  if (kStores) {
    const auto values = arrays<const std::uint32_t>(warp, detail.registers);
    units::store_matrices(detail.op, addresses, warp.cta->shared, values);
  } else {
    const auto d = arrays<std::uint32_t>(warp, detail.registers);
    units::load_matrices(detail.op, addresses, warp.cta->shared, d);
  }
  return Step::next;
}

template <bool kStores>
void tell_move(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
               Moment moment) {
  if (moment == Moment::after || lanes != ~0u) return;  // it waits until all lanes are there
  const MoveDetail& detail = *static_cast<const MoveDetail*>(op.detail);
  LaneRanges ranges([&](std::uint64_t begin, std::uint64_t end) {
    const auto at = static_cast<std::uint32_t>(begin),
               size = static_cast<std::uint32_t>(end - begin);
    kStores ? witness.write(warp, at, size) : witness.read(warp, at, size);
  });
  for (int row = 0; row < 8 * detail.op.count; ++row)
    ranges.add(warp.lanes<std::uint32_t>(detail.addresses)[row], 16);
  ranges.tell();
}

Step run_transpose(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  if (lanes != ~0u && !warp.others.empty()) return Step::wait;
  require_whole(warp, lanes);
  units::transpose_matrix(warp.lanes<std::uint32_t>(op.d), warp.lanes<std::uint32_t>(op.a));
  return Step::next;
}

std::vector<Operand> parts_of(const Operand& operand) {
  return operand.kind == OperandKind::vector ? operand.parts : std::vector<Operand>{operand};
}

std::vector<Place> read_all(Decoder& in, const Operand& operand, int count) {
  std::vector<Place> places;
  for (const Operand& each : parts_of(operand)) places.push_back(in.read(each, 32));
  if (static_cast<int>(places.size()) != count)
    in.refuse("a vector of " + std::to_string(count) + " registers is missing");
  return places;
}

std::vector<Place> write_all(Decoder& in, const Operand& operand, int count) {
  std::vector<Place> places;
  for (const Operand& each : parts_of(operand)) places.push_back(in.write(each, 32));
  if (static_cast<int>(places.size()) != count)
    in.refuse("a vector of " + std::to_string(count) + " registers is missing");
  return places;
}

}  // namespace

void decode_mma(Decoder& in) {
  in.require_operands(4, 4);
  MmaDetail detail{.op = units::mma_op(in.instruction().opcode, in.architecture())};
  detail.a = read_all(in, in.operand(1), detail.op.a_registers);
  detail.b = read_all(in, in.operand(2), detail.op.b_registers);
  detail.c = read_all(in, in.operand(3), detail.op.c_registers);
  detail.d = write_all(in, in.operand(0), detail.op.c_registers);
  in.rests_on(detail.op.fidelity);
  in.emit(run_mma).detail = in.keep(std::move(detail));
}

void decode_matrix_move(Decoder& in) {
  in.require_operands(2, 2);
  const std::string& opcode = in.instruction().opcode;
  if (opcode.starts_with("movmatrix")) {
    if (opcode != "movmatrix.sync.aligned.m8n8.trans.b16") in.refuse("not supported");
    const Place a = in.read(in.operand(1), 32), d = in.write(in.operand(0), 32);
    MicroOp& op = in.emit(run_transpose);
    op.a = a;
    op.d = d;
    return;
  }
  const bool stores = opcode.starts_with("st");
  MoveDetail detail{.op = units::matrix_move_op(opcode)};
  detail.addresses = in.address32(in.operand(stores ? 0 : 1));
  detail.registers = stores ? read_all(in, in.operand(1), detail.op.count)
                            : write_all(in, in.operand(0), detail.op.count);
  MicroOp& op = in.emit(stores ? run_move<true> : run_move<false>);
  op.detail = in.keep(std::move(detail));
  op.tell = stores ? tell_move<true> : tell_move<false>;
}

}  // namespace karat::ptx
