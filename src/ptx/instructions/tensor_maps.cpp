// tensormap.replace, tensormap.cp_fenceproxy: tensor maps made on the device.
#include <cstring>

#include "execute/locate.hpp"
#include "execute/witness.hpp"
#include "instructions/copies.hpp"
#include "instructions/families.hpp"
#include "instructions/qualifiers.hpp"
#include "units/tensor_map.hpp"

namespace karat::ptx {
namespace {

struct Replacement {
  units::TensorMapField field{};
  int ordinal = 0;
  Space space = Space::generic;
  Place address = 0, value = 0;
  bool wide = false;  ///< the value has 64 bits
};

Step run_replace(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const Replacement& detail = *static_cast<const Replacement*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    std::byte* const image =
        locate(warp, detail.space, warp.lanes<std::uint64_t>(detail.address)[lane],
               units::kTensorMapBytes, lane, MemoryAccess::write);
    const std::uint64_t value = detail.wide ? warp.lanes<std::uint64_t>(detail.value)[lane]
                                            : warp.lanes<std::uint32_t>(detail.value)[lane];
    units::replace_field({image, units::kTensorMapBytes}, detail.field, detail.ordinal, value);
  });
  return Step::next;
}

void tell_replace(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                  Moment moment) {
  if (moment == Moment::after) return;
  const Replacement& detail = *static_cast<const Replacement*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    std::uint64_t address = warp.lanes<std::uint64_t>(detail.address)[lane];
    const bool window = detail.space == Space::generic && in_shared_window(address);
    if (window) address -= kSharedWindow;
    if (window || detail.space == Space::shared)
      witness.map_image(warp, 1u << lane, static_cast<std::uint32_t>(address),
                        Witness::MapAccess::write);
    else if (in_global(address))
      witness.map(warp, Witness::MapStep::write, address);
  });
}

void tell_copy_map(const MicroOp& op, const Warp& warp, std::uint32_t lanes, Witness& witness,
                   Moment moment) {
  if (moment == Moment::after) return;
  const int lane = first_lane(lanes);
  witness.map_image(warp, lanes, warp.lanes<std::uint32_t>(op.b)[lane], Witness::MapAccess::read);
  witness.map(warp, Witness::MapStep::write, warp.lanes<std::uint64_t>(op.a)[lane]);
}

/// a: global destination, b: shared source.
Step run_copy_map(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const int lane = first_lane(lanes);
  const std::byte* const from = locate(warp, Space::shared, warp.lanes<std::uint32_t>(op.b)[lane],
                                       units::kTensorMapBytes, lane, MemoryAccess::read);
  std::byte* const to = locate(warp, Space::generic, warp.lanes<std::uint64_t>(op.a)[lane],
                               units::kTensorMapBytes, lane, MemoryAccess::write);
  std::memcpy(to, from, units::kTensorMapBytes);
  return Step::next;
}

/// Of fields that take one of a few numbers; -1 of others.
std::int64_t last_value(units::TensorMapField field) {
  switch (field) {
    case units::TensorMapField::elemtype:
      return 12;
    case units::TensorMapField::interleave_layout:
      return 2;
    case units::TensorMapField::swizzle_mode:
      return 3;
    case units::TensorMapField::fill_mode:
      return 1;
    default:
      return -1;
  }
}

}  // namespace

void decode_tensormap(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  if (opcode.take("cp_fenceproxy")) {
    in.require_operands(3, 3);
    const Place a = address64(in, in.operand(0)), b = in.address32(in.operand(1));
    MicroOp& op = in.emit(run_copy_map);
    op.a = a;
    op.b = b;
    op.tell = tell_copy_map;
    return;
  }
  if (!opcode.take("replace")) opcode.refuse("not supported");
  opcode.take("tile");
  opcode.take("b1024");
  Replacement detail{.space = take_space(opcode)};
  detail.wide = opcode.take_last() == "b64";
  detail.field = units::tensor_map_field(opcode.take_last());
  opcode.expect_nothing_left();
  in.require_operands(2, 3);
  detail.address = address64(in, in.operand(0));
  const bool ordinal = in.operands().size() == 3;
  if (ordinal) detail.ordinal = static_cast<int>(in.constant(in.operand(1)));
  if (detail.ordinal < 0 || detail.ordinal > 4) in.refuse("dimensions are numbered from 0 to 4");
  const std::int64_t last = last_value(detail.field);
  if (last >= 0 && (in.constant(in.operand(1)) < 0 || in.constant(in.operand(1)) > last))
    in.refuse("its value is a number from 0 to " + std::to_string(last));
  detail.value = in.read(in.operand(ordinal ? 2 : 1), detail.wide ? 64 : 32);
  MicroOp& op = in.emit(run_replace);
  op.detail = in.keep(detail);
  op.tell = tell_replace;
}

}  // namespace karat::ptx
