// Logic, shifts, bit fields, permutations, moves of lanes. PTX ISA, "Logic and Shift Instructions",
// "Integer Arithmetic Instructions" (fields and counts), "Data Movement and Conversion
// Instructions" (prmt, mov), "Comparison and Selection Instructions" (selp, slct).
// clang-format off
#include "units/ops/targets.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "units/ops/bits_op.cpp"
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

template <typename W>
struct And {
  static HWY_INLINE W Of(W a, W b) { return a & b; }
};
template <typename W>
struct Or {
  static HWY_INLINE W Of(W a, W b) { return a | b; }
};
template <typename W>
struct Xor {
  static HWY_INLINE W Of(W a, W b) { return a ^ b; }
};
/// Of the low kWidth bits.
template <typename W, int kWidth>
struct Not {
  static HWY_INLINE W Of(W a) { return static_cast<W>(~a & (~W{0} >> (8 * sizeof(W) - kWidth))); }
};
template <typename W>
struct CNot {
  static HWY_INLINE W Of(W a) { return a == 0; }
};
template <typename W>
struct Move {
  static HWY_INLINE W Of(W a) { return a; }
};

/// Amounts beyond the width count as the width.
template <typename W, int kWidth>
struct ShiftLeft {
  static HWY_INLINE W Of(W a, U32 amount) {
    const W shifted = a << (amount & (8 * sizeof(W) - 1));
    return amount >= kWidth ? W{0} : static_cast<W>(shifted & (~W{0} >> (8 * sizeof(W) - kWidth)));
  }
};
template <typename T>
struct ShiftRight {
  using W = std::conditional_t<sizeof(T) == 8, U64, U32>;
  static HWY_INLINE W Of(W a, U32 amount) {
    constexpr U32 kWidth = 8 * sizeof(T);
    const U32 most = std::is_signed_v<T> ? kWidth - 1 : kWidth;
    const U32 by = amount < most ? amount : most;
    if constexpr (std::is_signed_v<T>) {
      return static_cast<W>(static_cast<std::make_unsigned_t<T>>(static_cast<T>(a) >> by));
    } else {
      const W x = static_cast<T>(a);
      return by >= kWidth ? W{0} : static_cast<W>(x >> (by & (8 * sizeof(W) - 1)));
    }
  }
};
enum class Amount { clamp, wrap };
/// The upper (left) or lower (right) word of {b, a} shifted.
template <Amount kAmount>
struct FunnelLeft {
  static HWY_INLINE U32 Of(U32 a, U32 b, U32 c) {
    const U32 n = kAmount == Amount::wrap ? c & 31 : c < 32 ? c : 32;
    return static_cast<U32>(((U64{b} << 32 | a) << n) >> 32);
  }
};
template <Amount kAmount>
struct FunnelRight {
  static HWY_INLINE U32 Of(U32 a, U32 b, U32 c) {
    const U32 n = kAmount == Amount::wrap ? c & 31 : c < 32 ? c : 32;
    return static_cast<U32>((U64{b} << 32 | a) >> n);
  }
};

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

template <typename W>
struct Select {
  static HWY_INLINE W Of(W a, W b, U32 c) { return c != 0 ? a : b; }
};
template <typename W>
struct SelectBySign {
  static HWY_INLINE W Of(W a, W b, U32 c) { return static_cast<std::int32_t>(c) >= 0 ? a : b; }
};
template <typename W>
struct SelectByF32 {  // -0 counts as zero, NaN as negative
  static HWY_INLINE W Of(W a, W b, U32 c) {
    const bool at_least_zero = c <= 0x7F800000 || c == 0x80000000;
    return at_least_zero ? a : b;
  }
};
template <typename W>
struct SelectByF32Flushed {
  static HWY_INLINE W Of(W a, W b, U32 c) {
    return SelectByF32<W>::Of(a, b, (c & 0x7F800000) == 0 ? 0 : c);
  }
};

int Width(const Opcode& opcode, std::string_view type) {
  if (type.size() < 2 || type.find('x') != std::string_view::npos) return 0;
  const std::string_view number = type.substr(type[0] == 'b' && type[1] == 'f' ? 2 : 1);
  if (number == "16") return 16;
  if (number == "32") return 32;
  if (number == "64") return 64;
  opcode.refuse("the type ." + std::string(type));
}

LaneOp Logic(const Opcode& opcode, int width) {
  const std::string_view base = opcode.base();
  const bool wide = width == 64;
  if (base == "and") return wide ? Binary<And<U64>, U64, U64>() : Binary<And<U32>>();
  if (base == "or") return wide ? Binary<Or<U64>, U64, U64>() : Binary<Or<U32>>();
  if (base == "xor") return wide ? Binary<Xor<U64>, U64, U64>() : Binary<Xor<U32>>();
  if (base == "cnot") return wide ? Unary<CNot<U64>, U64, U64>() : Unary<CNot<U32>>();
  if (base == "mov") return wide ? Unary<Move<U64>, U64, U64>() : Unary<Move<U32>>();
  if (base == "selp") {
    return wide ? Ternary<Select<U64>, U64, U64, U64, U32>() : Ternary<Select<U32>>();
  }
  if (wide) return Unary<Not<U64, 64>, U64, U64>();
  return width == 32 ? Unary<Not<U32, 32>>() : Unary<Not<U32, 16>>();
}

LaneOp Shift(const Opcode& opcode, std::string_view type, int width) {
  if (opcode.base() == "shl") {
    if (width == 64) return Binary<ShiftLeft<U64, 64>, U64, U64, U32>();
    return width == 32 ? Binary<ShiftLeft<U32, 32>>() : Binary<ShiftLeft<U32, 16>>();
  }
  if (type[0] == 's') {
    if (width == 64) return Binary<ShiftRight<std::int64_t>, U64, U64, U32>();
    return width == 32 ? Binary<ShiftRight<std::int32_t>>() : Binary<ShiftRight<std::int16_t>>();
  }
  if (width == 64) return Binary<ShiftRight<U64>, U64, U64, U32>();
  return width == 32 ? Binary<ShiftRight<U32>>() : Binary<ShiftRight<std::uint16_t>>();
}

LaneOp Funnel(Opcode& opcode) {
  const bool left = opcode.take("l"), wraps = opcode.take("wrap");
  opcode.take("r");
  opcode.take("clamp");
  opcode.expect_nothing_left();
  if (left)
    return wraps ? Ternary<FunnelLeft<Amount::wrap>>() : Ternary<FunnelLeft<Amount::clamp>>();
  return wraps ? Ternary<FunnelRight<Amount::wrap>>() : Ternary<FunnelRight<Amount::clamp>>();
}

LaneOp Field(std::string_view type) {
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

LaneOp Count(Opcode& opcode, std::string_view type, int width) {
  const std::string_view base = opcode.base();
  const bool wide = width == 64;
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

LaneOp SignSelect(Opcode& opcode, std::string_view selector) {
  const bool flush = opcode.take("ftz");
  const bool wide = Width(opcode, opcode.take_last()) == 64;
  opcode.expect_nothing_left();
  if (selector == "s32") {
    return wide ? Ternary<SelectBySign<U64>, U64, U64, U64, U32>() : Ternary<SelectBySign<U32>>();
  }
  if (flush) {
    return wide ? Ternary<SelectByF32Flushed<U64>, U64, U64, U64, U32>()
                : Ternary<SelectByF32Flushed<U32>>();
  }
  return wide ? Ternary<SelectByF32<U64>, U64, U64, U64, U32>() : Ternary<SelectByF32<U32>>();
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

LaneOp BitsOp(const Opcode& given) {
  Opcode opcode = given;
  const std::string_view base = opcode.base();
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), base) != names.end();
  };
  if (base == "prmt") {
    opcode.take("b32");
    return Permutation(opcode);
  }
  if (!is({"and", "or", "xor", "not", "cnot", "mov", "selp", "shl", "shr", "shf", "bfe", "popc",
           "clz", "brev", "bfind", "slct", "bmsk", "szext"})) {
    return {};
  }
  const std::string_view type = opcode.take_last();
  if (base == "shf") return Funnel(opcode);
  if (base == "slct") return SignSelect(opcode, type);
  if (base == "bmsk" || base == "szext") return MaskOrExtend(opcode, type);
  const int width = Width(opcode, type);
  if (width == 0) opcode.refuse("the type ." + std::string(type));
  if (is({"popc", "clz", "brev", "bfind"})) return Count(opcode, type, width);
  opcode.expect_nothing_left();
  if (base == "shl" || base == "shr") return Shift(opcode, type, width);
  if (base == "bfe") return Field(type);
  return Logic(opcode, width);
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
HWY_EXPORT(BitsOp);
HWY_EXPORT(Lop3);
HWY_EXPORT(Insert32);
HWY_EXPORT(Insert64);
}  // namespace

LaneOp bits_op(Opcode opcode) { return HWY_DYNAMIC_DISPATCH(BitsOp)(opcode); }

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
