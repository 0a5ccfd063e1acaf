// cvt between single numbers. PTX ISA, "cvt".
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "karat/numerics/formats/convert.hpp"
#include "units/ops/directed.hpp"
#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"
#include "units/ops/numbers.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;

/// Truncates, or clamps to the range of To; then fills a register's word.
template <typename To, typename From, Clamp kClamp>
struct IntegerToInteger {
  static auto of(WordOf<From> word) {
    const From x = static_cast<From>(word);
    if constexpr (kClamp == Clamp::yes) {
      using Limits = std::numeric_limits<To>;
      if (std::cmp_less(x, Limits::min())) return integer_word(Limits::min());
      if (std::cmp_greater(x, Limits::max())) return integer_word(Limits::max());
    }
    return integer_word(static_cast<To>(x));
  }
};

/// To the nearest integer or in one direction, clamped to the range of To. NaN gives 0; from f64 or
/// to 64 bits the number with the top bit alone.
template <typename To, typename Source, Rounded kRounded>
struct ToInteger {
  static auto of(typename Source::Word word) {
    const double x = Source::value(word);
    if (std::isnan(x)) {
      constexpr bool kTopBit = sizeof(To) == 8 || std::is_same_v<Source, F64Number>;
      using Bits = std::make_unsigned_t<To>;
      const Bits top = static_cast<Bits>(Bits{1} << (8 * sizeof(To) - 1));
      return integer_word(static_cast<To>(kTopBit ? top : Bits{0}));
    }
    const double whole = rounded_to_integer<kRounded>(x);
    // The bounds as powers of two, which f64 holds for every type.
    const double high = std::ldexp(1.0, std::numeric_limits<To>::digits);
    const double low = std::is_signed_v<To> ? -high : 0;
    if (whole >= high) return integer_word(std::numeric_limits<To>::max());
    if (whole < low) return integer_word(std::numeric_limits<To>::min());
    return integer_word(static_cast<To>(whole));
  }
};

/// An integer to f32: exact in f64 with its remainder, then rounded once.
template <typename From, Rounded kRounded>
struct ToF32 {
  static std::uint32_t of(WordOf<From> word) {
    const From x = static_cast<From>(word);
    if constexpr (kRounded == Rounded::nearest) {
      return std::bit_cast<std::uint32_t>(static_cast<float>(x));
    } else if constexpr (sizeof(From) <= 4) {
      // f64 holds x; the nearest f32 moves by one code where it lies on the wrong side.
      const double exact = static_cast<double>(x);
      const auto nearest = static_cast<float>(exact);
      const double place = double{nearest};
      const bool negative = nearest < 0;
      const bool above = place > exact, below = place < exact;
      const bool wrong = kRounded == Rounded::down ? above
                         : kRounded == Rounded::up ? below
                                                   : (negative ? below : above);
      const std::uint32_t step = (kRounded == Rounded::zero || above != negative) ? ~0u : 1u;
      return std::bit_cast<std::uint32_t>(nearest) + (wrong ? step : 0);
    } else {
      // A 64-bit integer is the sum of two parts that f64 holds.
      const auto low = static_cast<From>(x & 0xFFFF);
      const double a = static_cast<double>(x - low), b = static_cast<double>(low), s = a + b;
      const double t = s - a, lost = (a - (s - t)) + (b - t);
      return std::bit_cast<std::uint32_t>(round_directed<directed(kRounded)>(s, lost));
    }
  }
};
template <typename From>
struct ToF64 {
  static std::uint64_t of(WordOf<From> word) {
    return std::bit_cast<std::uint64_t>(static_cast<double>(static_cast<From>(word)));
  }
};
/// An integer to f16 or bf16, nearest even. What f64 does not hold is rounded to odd first, far below
/// the last bit that counts.
template <typename From, FormatId kFormat>
struct ToHalf {
  static std::uint32_t of(WordOf<From> word) {
    From x = static_cast<From>(word);
    if constexpr (sizeof(From) == 8) {
      constexpr From kExact = From{1} << 53, kLow = 0xFFF;
      const bool exact = x < kExact && (!std::is_signed_v<From> || x > -kExact);
      if (!exact && (x & kLow) != 0) x = static_cast<From>((x & ~kLow) | (kLow + 1));
    }
    return numerics::encode_f64(static_cast<double>(x), kFormat, numerics::kAsComputed);
  }
};

template <typename Source, Clamp kClamp>
struct ToDouble {
  static std::uint64_t of(typename Source::Word word) {
    double x = Source::value(word);
    if (kClamp == Clamp::yes) x = x > 0 ? std::fmin(x, 1.0) : 0.0;
    return std::isnan(x) ? kNan64 : std::bit_cast<std::uint64_t>(x);
  }
};
template <typename Source, Rounded kRounded, Flush kFlush, Clamp kClamp>
struct ToSingle {
  static std::uint32_t of(typename Source::Word word) {
    const double x = Source::value(word);
    float y = static_cast<float>(x);
    if constexpr (kRounded != Rounded::nearest) y = round_directed<directed(kRounded)>(x, 0);
    return f32_out<kFlush, kClamp>(y);
  }
};
/// f32 or f64 rounded to an integer that stays in its format.
template <Rounded kRounded, Flush kFlush, Clamp kClamp>
struct WholeSingle {
  static std::uint32_t of(std::uint32_t word) {
    const float x = f32_in<kFlush>(word);
    return f32_out<kFlush, kClamp>(static_cast<float>(rounded_to_integer<kRounded>(x)));
  }
};
template <Rounded kRounded>
struct WholeDouble {
  static std::uint64_t of(std::uint64_t word) {
    const double x = rounded_to_integer<kRounded>(std::bit_cast<double>(word));
    return std::isnan(x) ? kNan64 : std::bit_cast<std::uint64_t>(x);
  }
};

template <Rounded kRounded>
constexpr numerics::Rounding kRounding =
    kRounded == Rounded::zero   ? numerics::Rounding::toward_zero
    : kRounded == Rounded::down ? numerics::Rounding::down
    : kRounded == Rounded::up   ? numerics::Rounding::up
    : kRounded == Rounded::away ? numerics::Rounding::nearest_away
                                : numerics::Rounding::nearest_even;

enum class Relu { no, yes };

/// To f16, bf16 or tf32 (an f32 word whose low 13 bits are zero).
template <typename Source, FormatId kFormat, Rounded kRounded, Relu kRelu, Clamp kClamp,
          numerics::Overflow kOverflow>
struct ToSmall {
  static std::uint32_t of(typename Source::Word word) {
    double x = Source::value(word);
    if (kClamp == Clamp::yes) x = x > 0 ? std::fmin(x, 1.0) : 0.0;
    if (kRelu == Relu::yes && !(x > 0) && !std::isnan(x)) x = 0;
    const std::uint32_t code =
        numerics::encode_f64(x, kFormat, {.rounding = kRounding<kRounded>, .overflow = kOverflow});
    return kFormat == FormatId::tf32 ? code << 13 : code;
  }
};

/// bf16 and f16 by whole arrays: nearest even, no modifier.
template <FormatId kFormat, Flush kFlush>
void narrow_all(void* d, const void* a, const void*, const void*) {
  const auto* words = static_cast<const std::uint32_t*>(a);
  std::array<float, kLanes> x;
  std::array<std::uint16_t, kLanes> codes;
  for (std::size_t l = 0; l < kLanes; ++l) x[l] = f32_in<kFlush>(words[l]);
  kFormat == FormatId::f16 ? numerics::round_to_f16(x, codes) : numerics::round_to_bf16(x, codes);
  for (std::size_t l = 0; l < kLanes; ++l) static_cast<std::uint32_t*>(d)[l] = codes[l];
}

/// A conversion as its opcode spells it.
struct Request {
  std::string_view to, from;
  std::string_view rounding;  ///< "rn", "rzi", ... or empty
  Flush flush = Flush::no;
  Clamp clamp = Clamp::no;
  Relu relu = Relu::no;
  bool satfinite = false;
};

template <typename Op, typename To, typename From>
LaneOp each() {
  return {
      &run_each<Op, To, From>, 1, 8 * sizeof(To), {8 * sizeof(From), 0, 0}, Fidelity::definition};
}

/// make(type identity of the integer) for one of the eight names; empty for another name.
template <typename Make>
LaneOp with_integer(std::string_view name, Make make) {
  if (name == "u8") return make(std::type_identity<std::uint8_t>());
  if (name == "s8") return make(std::type_identity<std::int8_t>());
  if (name == "u16") return make(std::type_identity<std::uint16_t>());
  if (name == "s16") return make(std::type_identity<std::int16_t>());
  if (name == "u32") return make(std::type_identity<std::uint32_t>());
  if (name == "s32") return make(std::type_identity<std::int32_t>());
  if (name == "u64") return make(std::type_identity<std::uint64_t>());
  if (name == "s64") return make(std::type_identity<std::int64_t>());
  return {};
}
/// make(type identity of the number type) for a floating-point source.
template <typename Make>
LaneOp with_source(const Request& r, Make make) {
  if (r.from == "f32" && r.flush == Flush::yes) {
    return make(std::type_identity<F32Number<Flush::yes>>());
  }
  if (r.from == "f32") return make(std::type_identity<F32Number<Flush::no>>());
  if (r.from == "f64") return make(std::type_identity<F64Number>());
  if (r.from == "f16") return make(std::type_identity<SmallNumber<FormatId::f16>>());
  if (r.from == "bf16") return make(std::type_identity<SmallNumber<FormatId::bf16>>());
  return {};
}
/// make(integral constant of the mode) for "rn", "rni" and so on; nearest if none is given.
template <typename Make>
LaneOp with_rounding(std::string_view name, Make make) {
  if (name.starts_with("rz")) return make(std::integral_constant<Rounded, Rounded::zero>());
  if (name.starts_with("rm")) return make(std::integral_constant<Rounded, Rounded::down>());
  if (name.starts_with("rp")) return make(std::integral_constant<Rounded, Rounded::up>());
  if (name == "rna") return make(std::integral_constant<Rounded, Rounded::away>());
  return make(std::integral_constant<Rounded, Rounded::nearest>());
}

LaneOp integer_from_integer(const Request& r) {
  return with_integer(r.to, [&](auto to) {
    using To = typename decltype(to)::type;
    return with_integer(r.from, [&](auto from) {
      using From = typename decltype(from)::type;
      return r.clamp == Clamp::yes
                 ? each<IntegerToInteger<To, From, Clamp::yes>, WordOf<To>, WordOf<From>>()
                 : each<IntegerToInteger<To, From, Clamp::no>, WordOf<To>, WordOf<From>>();
    });
  });
}

LaneOp integer_from_float(const Request& r) {
  return with_integer(r.to, [&](auto to) {
    using To = typename decltype(to)::type;
    return with_source(r, [&](auto from) {
      using Source = typename decltype(from)::type;
      return with_rounding(r.rounding, [&](auto mode) {
        return each<ToInteger<To, Source, decltype(mode)::value>, WordOf<To>,
                    typename Source::Word>();
      });
    });
  });
}

LaneOp float_from_integer(const Request& r) {
  return with_integer(r.from, [&](auto from) {
    using From = typename decltype(from)::type;
    if (r.to == "f64") return each<ToF64<From>, std::uint64_t, WordOf<From>>();
    if (r.to == "f16") return each<ToHalf<From, FormatId::f16>, std::uint32_t, WordOf<From>>();
    if (r.to == "bf16") return each<ToHalf<From, FormatId::bf16>, std::uint32_t, WordOf<From>>();
    if (r.to != "f32") return LaneOp{};
    return with_rounding(r.rounding, [&](auto mode) {
      return each<ToF32<From, decltype(mode)::value>, std::uint32_t, WordOf<From>>();
    });
  });
}

template <FormatId kFormat>
LaneOp small_from_float(const Request& r) {
  if (r.from == "f32" && r.clamp == Clamp::no && r.relu == Relu::no && !r.satfinite &&
      r.rounding == "rn" && kFormat != FormatId::tf32) {
    return {
        r.flush == Flush::yes ? &narrow_all<kFormat, Flush::yes> : &narrow_all<kFormat, Flush::no>,
        1,
        32,
        {32, 0, 0},
        Fidelity::definition};
  }
  return with_source(r, [&](auto from) {
    using Source = typename decltype(from)::type;
    return with_rounding(r.rounding, [&](auto mode) {
      using numerics::Overflow;
      constexpr Rounded kMode = decltype(mode)::value;
      constexpr Overflow kInf = Overflow::infinity, kMax = Overflow::saturate;
      using W = typename Source::Word;
      if (r.clamp == Clamp::yes) {
        return each<ToSmall<Source, kFormat, kMode, Relu::no, Clamp::yes, kInf>, std::uint32_t,
                    W>();
      }
      if (r.relu == Relu::yes) {
        return r.satfinite ? each<ToSmall<Source, kFormat, kMode, Relu::yes, Clamp::no, kMax>,
                                  std::uint32_t, W>()
                           : each<ToSmall<Source, kFormat, kMode, Relu::yes, Clamp::no, kInf>,
                                  std::uint32_t, W>();
      }
      return r.satfinite ? each<ToSmall<Source, kFormat, kMode, Relu::no, Clamp::no, kMax>,
                                std::uint32_t, W>()
                         : each<ToSmall<Source, kFormat, kMode, Relu::no, Clamp::no, kInf>,
                                std::uint32_t, W>();
    });
  });
}

/// kOp<Flush, Clamp> by the modifiers.
template <template <Flush, Clamp> typename kOp, typename From>
LaneOp pick_single(const Request& r) {
  using W = std::uint32_t;
  if (r.flush == Flush::no) {
    return r.clamp == Clamp::no ? each<kOp<Flush::no, Clamp::no>, W, From>()
                                : each<kOp<Flush::no, Clamp::yes>, W, From>();
  }
  return r.clamp == Clamp::no ? each<kOp<Flush::yes, Clamp::no>, W, From>()
                              : each<kOp<Flush::yes, Clamp::yes>, W, From>();
}
template <Rounded kMode>
struct Whole {
  template <Flush kFlush, Clamp kClamp>
  using Op = WholeSingle<kMode, kFlush, kClamp>;
};
template <typename Source, Rounded kMode>
struct Single {
  template <Flush kFlush, Clamp kClamp>
  using Op = ToSingle<Source, kMode, kFlush, kClamp>;
};

LaneOp single_from_float(const Request& r) {
  const bool whole = r.from == "f32" && r.rounding.size() == 3 && r.rounding.back() == 'i';
  return with_rounding(r.rounding, [&](auto mode) {
    constexpr Rounded kMode = decltype(mode)::value;
    if (whole) return pick_single<Whole<kMode>::template Op, std::uint32_t>(r);
    return with_source(r, [&](auto from) {
      using Source = typename decltype(from)::type;
      return pick_single<Single<Source, decltype(mode)::value>::template Op, typename Source::Word>(
          r);
    });
  });
}

LaneOp double_from_float(const Request& r) {
  using W = std::uint64_t;
  if (r.from == "f64" && !r.rounding.empty()) {
    return with_rounding(
        r.rounding, [&](auto mode) { return each<WholeDouble<decltype(mode)::value>, W, W>(); });
  }
  return with_source(r, [&](auto from) {
    using S = typename decltype(from)::type;
    using V = typename S::Word;
    return r.clamp == Clamp::yes ? each<ToDouble<S, Clamp::yes>, W, V>()
                                 : each<ToDouble<S, Clamp::no>, W, V>();
  });
}

bool is_integer_name(std::string_view type) { return type[0] == 'u' || type[0] == 's'; }

}  // namespace

LaneOp convert_op(Opcode opcode) {
  if (opcode.base() != "cvt") return {};
  Request r;
  r.from = opcode.take_last();
  r.to = opcode.take_last();
  if (r.from.empty() || r.to.empty()) opcode.refuse("it lacks a type");
  r.rounding = opcode.take_one_of({"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi"});
  if (opcode.take("ftz")) r.flush = Flush::yes;
  if (opcode.take("sat")) r.clamp = Clamp::yes;
  if (opcode.take("relu")) r.relu = Relu::yes;
  r.satfinite = opcode.take("satfinite");
  opcode.expect_nothing_left();
  LaneOp op;
  const bool to_integer = is_integer_name(r.to), from_integer = is_integer_name(r.from);
  if (to_integer && from_integer)
    op = integer_from_integer(r);
  else if (to_integer)
    op = integer_from_float(r);
  else if (from_integer)
    op = float_from_integer(r);
  else if (r.to == "f32")
    op = single_from_float(r);
  else if (r.to == "f64")
    op = double_from_float(r);
  else if (r.to == "f16")
    op = small_from_float<FormatId::f16>(r);
  else if (r.to == "bf16")
    op = small_from_float<FormatId::bf16>(r);
  else if (r.to == "tf32")
    op = small_from_float<FormatId::tf32>(r);
  if (!op.run) opcode.refuse("this pair of types");
  return op;
}

}  // namespace karat::ptx::units
