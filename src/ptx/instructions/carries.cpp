// add, sub and mad that set or take the carry, a bit of every lane (PTX ISA, "Extended-Precision
// Integer Arithmetic Instructions").
#include "execute/state.hpp"
#include "instructions/families.hpp"
#include "instructions/merge.hpp"

namespace karat::ptx {
namespace {

enum class Half : std::uint8_t { none, low, high };  ///< of a product, for mad

struct CarryOp {
  Half half = Half::none;
  bool subtracts = false, takes = false, sets = false, sign = false;
  Place carry = 0;
};

template <typename Lane>
Lane product(const CarryOp& detail, Lane a, Lane b) {
  __extension__ using Wide = std::conditional_t<sizeof(Lane) == 8, __int128, std::int64_t>;
  __extension__ using UWide =
      std::conditional_t<sizeof(Lane) == 8, unsigned __int128, std::uint64_t>;
  using Signed = std::make_signed_t<Lane>;
  if (detail.half == Half::low) return static_cast<Lane>(a * b);
  const UWide whole =
      detail.sign ? static_cast<UWide>(Wide{static_cast<Signed>(a)} * static_cast<Signed>(b))
                  : UWide{a} * b;
  return static_cast<Lane>(whole >> (8 * sizeof(Lane)));
}

template <typename Lane>
Step run_carry(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const CarryOp& detail = *static_cast<const CarryOp*>(op.detail);
  std::uint32_t& carry = warp.predicate(detail.carry);
  std::uint32_t out = 0;
  for_lanes(lanes, [&](int lane) {
    Lane left = warp.lanes<Lane>(op.a)[lane], right = warp.lanes<Lane>(op.b)[lane];
    if (detail.half != Half::none) {
      left = product(detail, left, right);
      right = warp.lanes<Lane>(op.c)[lane];
    }
    const Lane in = detail.takes ? carry >> lane & 1 : 0;
    const Lane once = detail.subtracts ? left - right : left + right;
    const Lane twice = detail.subtracts ? once - in : once + in;
    const bool over = detail.subtracts ? left < right || once < in : once < left || twice < once;
    out |= static_cast<std::uint32_t>(over) << lane;
    warp.lanes<Lane>(op.d)[lane] = twice;
  });
  if (detail.sets) merge_bits(carry, out, lanes);
  return Step::next;
}

}  // namespace

void decode_carry(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  CarryOp detail{.subtracts = opcode.base().starts_with("sub"),
                 .takes = opcode.base().ends_with('c'),
                 .sets = opcode.take("cc"),
                 .carry = in.carry_place()};
  const auto type = opcode.take_one_of({"u32", "s32", "u64", "s64"});
  if (type.empty()) opcode.refuse("carries are of 32 and 64 bits");
  detail.sign = type[0] == 's';
  const bool mad = opcode.base().starts_with("mad");
  if (mad) {
    const bool high = opcode.take("hi");
    if (!high && !opcode.take("lo")) opcode.refuse("neither lo nor hi");
    detail.half = high ? Half::high : Half::low;
  }
  opcode.expect_nothing_left();
  in.require_operands(mad ? 4 : 3, mad ? 4 : 3);
  const int bits = type.ends_with("64") ? 64 : 32;
  const Place a = in.read(in.operand(1), bits), b = in.read(in.operand(2), bits);
  const Place c = mad ? in.read(in.operand(3), bits) : 0;
  const Place d = in.write(in.operand(0), bits);
  MicroOp& op = in.emit(bits == 64 ? run_carry<std::uint64_t> : run_carry<std::uint32_t>);
  op.a = a;
  op.b = b;
  op.c = c;
  op.d = d;
  op.detail = in.keep(detail);
}

}  // namespace karat::ptx
