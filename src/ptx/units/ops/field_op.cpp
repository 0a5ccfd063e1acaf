// Bit fields, counts, byte permutations, three-input logic of lanes. PTX ISA, "Integer Arithmetic
// Instructions" (fields and counts), "prmt", "lop3".
// clang-format off
#include "units/ops/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "units/ops/field_op.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "units/ops/loops-inl.hpp"
// clang-format on

#include <bit>
#include <type_traits>

#include "units/ops/families.hpp"

HWY_BEFORE_NAMESPACE();
namespace karat::ptx::units::HWY_NAMESPACE {
namespace {

using U32 = std::uint32_t;
using U64 = std::uint64_t;

/// `length` bits from bit `position` on; position and length have 8 bits. Signed: what lies above
/// the field, or above the word, is the sign: bit min(position + length - 1, top).
template <typename T>
struct ExtractField {
  using W = std::make_unsigned_t<T>;
  static HWY_INLINE W Of(W a, U32 position, U32 length) {
    constexpr U32 kWidth = 8 * sizeof(W);
    const U32 p = position & 0xFF, n = length & 0xFF;
    const W moved = p >= kWidth ? W{0} : a >> (p & (kWidth - 1));
    const W mask = n >= kWidth ? ~W{0} : static_cast<W>((W{1} << (n & (kWidth - 1))) - 1);
    if constexpr (!std::is_signed_v<T>) return moved & mask;
    const U32 last = p + n - 1 < kWidth - 1 ? p + n - 1 : kWidth - 1;
    const W sign = n == 0 ? W{0} : static_cast<W>(W{0} - ((a >> (last & (kWidth - 1))) & 1));
    const U32 valid = p >= kWidth ? 0 : kWidth - p < n ? kWidth - p : n;  // bits of the word
    const W kept = valid >= kWidth ? ~W{0} : static_cast<W>((W{1} << (valid & (kWidth - 1))) - 1);
    return (moved & kept) | (sign & ~kept);
  }
};

template <typename W>
struct PopCount {
  static HWY_INLINE U32 Of(W a) { return static_cast<U32>(std::popcount(a)); }
};
template <typename W>
struct LeadingZeros {
  static HWY_INLINE U32 Of(W a) { return static_cast<U32>(std::countl_zero(a)); }
};
template <typename W>
struct Reverse {
  static HWY_INLINE W Of(W a) {
    W r = 0;
    for (std::size_t i = 0; i < 8 * sizeof(W); ++i) r |= ((a >> i) & 1) << (8 * sizeof(W) - 1 - i);
    return r;
  }
};
enum class Amount { clamp, wrap };
enum class Found { position, shift };
/// Position of the highest 1 (of a negative number the highest 0), or the shift that brings it to
/// the top; all ones if there is none.
template <typename T, Found kFound>
struct FindBit {
  using W = std::make_unsigned_t<T>;
  static HWY_INLINE U32 Of(W a) {
    const W x = std::is_signed_v<T> && static_cast<T>(a) < 0 ? static_cast<W>(~a) : a;
    const auto zeros = static_cast<U32>(std::countl_zero(x));
    if (x == 0) return ~U32{0};
    return kFound == Found::shift ? zeros : 8 * sizeof(W) - 1 - zeros;
  }
};

/// A mask of `length` bits from `start` on.
template <Amount kAmount>
struct BitMask {
  static HWY_INLINE U32 Of(U32 start, U32 length) {
    const U32 s = kAmount == Amount::wrap ? start & 31 : start < 32 ? start : 32;
    const U32 n = kAmount == Amount::wrap ? length & 31 : length < 32 ? length : 32;
    return static_cast<U32>(((U64{1} << n) - 1) << s);
  }
};
/// The low `length` bits with zeros or the sign above.
template <typename T, Amount kAmount>
struct Extend {
  static HWY_INLINE U32 Of(U32 a, U32 length) {
    const U32 n = kAmount == Amount::wrap ? length & 31 : length < 32 ? length : 32;
    if (n == 0) return 0;
    return static_cast<U32>(static_cast<T>(a << (32 - n)) >> (32 - n));
  }
};

/// Byte i of the result: nibble i of the selector picks a byte of {b, a}, its bit 3 the byte's sign
/// repeated.
struct Permute {
  static HWY_INLINE U32 Of(U32 a, U32 b, U32 selector) {
    const U64 bytes = U64{b} << 32 | a;
    U32 r = 0;
    for (U32 i = 0; i < 4; ++i) {
      const U32 pick = (selector >> (4 * i)) & 15;
      U32 byte = static_cast<U32>(bytes >> (8 * (pick & 7))) & 0xFF;
      byte = (pick & 8) != 0 ? ((byte >> 7) != 0 ? 0xFF : 0) : byte;
      r |= byte << (8 * i);
    }
    return r;
  }
};
enum class PermuteMode { f4e, b4e, rc8, ecl, ecr, rc16 };
/// Selectors of the modes, by the low two bits of c.
template <PermuteMode kMode>
struct PermuteBy {
  static HWY_INLINE U32 Of(U32 a, U32 b, U32 c) {
    constexpr U32 kSelectors[6][4] = {
        {0x3210, 0x4321, 0x5432, 0x6543}, {0x5670, 0x6701, 0x7012, 0x0123},
        {0x0000, 0x1111, 0x2222, 0x3333}, {0x3210, 0x3211, 0x3222, 0x3333},
        {0x0000, 0x1110, 0x2210, 0x3210}, {0x1010, 0x3232, 0x1010, 0x3232}};
    return Permute::Of(a, b, kSelectors[static_cast<int>(kMode)][c & 3]);
  }
};

LaneOp Field(Opcode& opcode, std::string_view type) {
  opcode.expect_nothing_left();
  using std::int32_t;
  using std::int64_t;
  if (type == "u32") return Ternary<ExtractField<U32>>();
  if (type == "s32") return Ternary<ExtractField<int32_t>>();
  if (type == "u64") return Ternary<ExtractField<U64>, U64, U64, U32>();
  return Ternary<ExtractField<int64_t>, U64, U64, U32>();
}

template <typename T>
LaneOp Find(bool shift) {
  using W = std::make_unsigned_t<T>;
  return shift ? Unary<FindBit<T, Found::shift>, U32, W>()
               : Unary<FindBit<T, Found::position>, U32, W>();
}

LaneOp Count(Opcode& opcode, std::string_view type, bool wide) {
  const std::string_view base = opcode.base();
  if (base == "popc") return wide ? Unary<PopCount<U64>, U32, U64>() : Unary<PopCount<U32>>();
  if (base == "clz")
    return wide ? Unary<LeadingZeros<U64>, U32, U64>() : Unary<LeadingZeros<U32>>();
  if (base == "brev") return wide ? Unary<Reverse<U64>, U64, U64>() : Unary<Reverse<U32>>();
  const bool shift = opcode.take("shiftamt");
  opcode.expect_nothing_left();
  if (type[0] == 's') return wide ? Find<std::int64_t>(shift) : Find<std::int32_t>(shift);
  return wide ? Find<U64>(shift) : Find<U32>(shift);
}

LaneOp Permutation(Opcode& opcode) {
  const std::string_view mode = opcode.take_one_of({"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"});
  opcode.expect_nothing_left();
  if (mode == "f4e") return Ternary<PermuteBy<PermuteMode::f4e>>();
  if (mode == "b4e") return Ternary<PermuteBy<PermuteMode::b4e>>();
  if (mode == "rc8") return Ternary<PermuteBy<PermuteMode::rc8>>();
  if (mode == "ecl") return Ternary<PermuteBy<PermuteMode::ecl>>();
  if (mode == "ecr") return Ternary<PermuteBy<PermuteMode::ecr>>();
  if (mode == "rc16") return Ternary<PermuteBy<PermuteMode::rc16>>();
  return Ternary<Permute>();
}

LaneOp MaskOrExtend(Opcode& opcode, std::string_view type) {
  const bool wraps = opcode.take("wrap");
  opcode.take("clamp");
  opcode.expect_nothing_left();
  if (opcode.base() == "bmsk") {
    return wraps ? Binary<BitMask<Amount::wrap>>() : Binary<BitMask<Amount::clamp>>();
  }
  if (type == "s32") {
    return wraps ? Binary<Extend<std::int32_t, Amount::wrap>>()
                 : Binary<Extend<std::int32_t, Amount::clamp>>();
  }
  return wraps ? Binary<Extend<U32, Amount::wrap>>() : Binary<Extend<U32, Amount::clamp>>();
}

}  // namespace

LaneOp FieldOp(const Opcode& given) {
  Opcode opcode = given;
  const std::string_view base = opcode.base();
  if (base == "prmt") {
    opcode.take("b32");
    return Permutation(opcode);
  }
  const bool counts = base == "popc" || base == "clz" || base == "brev" || base == "bfind";
  const bool masks = base == "bmsk" || base == "szext";
  if (!counts && !masks && base != "bfe") return {};
  const std::string_view type = opcode.take_last();
  if (masks) return MaskOrExtend(opcode, type);
  const bool wide = type.ends_with("64");
  if (!wide && !type.ends_with("32")) opcode.refuse("the type ." + std::string(type));
  return counts ? Count(opcode, type, wide) : Field(opcode, type);
}

void Lop3(U32* d, const U32* a, const U32* b, const U32* c, U32 lut) {
  const auto all = [lut](int bit) { return (lut >> bit) & 1 ? ~U32{0} : U32{0}; };
  U32 masks[8];
  for (int i = 0; i < 8; ++i) masks[i] = all(i);
  KARAT_PTX_EACH_LANE
  for (int l = 0; l < kLanes; ++l) {
    const U32 x = a[l], y = b[l], z = c[l];
    d[l] = (masks[0] & ~x & ~y & ~z) | (masks[1] & ~x & ~y & z) | (masks[2] & ~x & y & ~z) |
           (masks[3] & ~x & y & z) | (masks[4] & x & ~y & ~z) | (masks[5] & x & ~y & z) |
           (masks[6] & x & y & ~z) | (masks[7] & x & y & z);
  }
}

template <typename W>
HWY_INLINE void InsertField(W* d, const W* a, const W* b, const U32* position, const U32* length) {
  constexpr U32 kWidth = 8 * sizeof(W);
  KARAT_PTX_EACH_LANE
  for (int l = 0; l < kLanes; ++l) {
    const U32 p = position[l] & 0xFF, n = length[l] & 0xFF;
    const W low = n >= kWidth ? ~W{0} : static_cast<W>((W{1} << (n & (kWidth - 1))) - 1);
    const W mask = p >= kWidth ? W{0} : static_cast<W>(low << (p & (kWidth - 1)));
    const W moved = p >= kWidth ? W{0} : static_cast<W>(a[l] << (p & (kWidth - 1)));
    d[l] = (b[l] & ~mask) | (moved & mask);
  }
}
void Insert32(U32* d, const U32* a, const U32* b, const U32* position, const U32* length) {
  InsertField(d, a, b, position, length);
}
void Insert64(U64* d, const U64* a, const U64* b, const U32* position, const U32* length) {
  InsertField(d, a, b, position, length);
}

}  // namespace karat::ptx::units::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::ptx::units {
namespace {
HWY_EXPORT(FieldOp);
HWY_EXPORT(Lop3);
HWY_EXPORT(Insert32);
HWY_EXPORT(Insert64);
}  // namespace

LaneOp field_op(Opcode opcode) { return HWY_DYNAMIC_DISPATCH(FieldOp)(opcode); }

void lop3_run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
              const std::uint32_t* c, std::uint32_t lut) {
  HWY_DYNAMIC_DISPATCH(Lop3)(d, a, b, c, lut);
}
void bfi32_run(std::uint32_t* d, const std::uint32_t* a, const std::uint32_t* b,
               const std::uint32_t* position, const std::uint32_t* length) {
  HWY_DYNAMIC_DISPATCH(Insert32)(d, a, b, position, length);
}
void bfi64_run(std::uint64_t* d, const std::uint64_t* a, const std::uint64_t* b,
               const std::uint32_t* position, const std::uint32_t* length) {
  HWY_DYNAMIC_DISPATCH(Insert64)(d, a, b, position, length);
}

}  // namespace karat::ptx::units
#endif  // HWY_ONCE
