// cvt between single numbers. PTX ISA, "cvt".
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <type_traits>

#include "karat/numerics/formats/convert.hpp"
#include "units/ops/conversions.hpp"
#include "units/ops/families.hpp"

namespace karat::ptx::units {
namespace {

using numerics::FormatId;

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

/// f16 and bf16 widened by whole arrays.
template <FormatId kFormat>
void widen_all(void* d, const void* a, const void*, const void*) {
  const auto* words = static_cast<const std::uint32_t*>(a);
  std::array<float, kLanes> x;
  std::array<std::uint16_t, kLanes> codes;
  for (std::size_t l = 0; l < kLanes; ++l) codes[l] = static_cast<std::uint16_t>(words[l]);
  numerics::decode(std::span<const std::uint16_t>(codes), std::span<float>(x), kFormat);
  for (std::size_t l = 0; l < kLanes; ++l) {
    static_cast<std::uint32_t*>(d)[l] = f32_out<Flush::no, Clamp::no>(x[l]);
  }
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

LaneOp unary(LaneOp::Run run) { return {run, 1, 32, {32, 0, 0}, Fidelity::definition}; }

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

template <typename Op, typename To, typename From>
LaneOp from_integer(const Request& r) {
  return r.clamp == Clamp::yes ? each<Saturated<Op, From>, To, WordOf<From>>()
                               : each<Op, To, WordOf<From>>();
}

LaneOp float_from_integer(const Request& r) {
  return with_integer(r.from, [&](auto from) {
    using From = typename decltype(from)::type;
    return with_rounding(r.rounding, [&](auto mode) {
      constexpr Rounded kMode = decltype(mode)::value;
      using Half = ToHalf<From, FormatId::f16, kMode>;
      using Brain = ToHalf<From, FormatId::bf16, kMode>;
      if (r.to == "f64") return from_integer<ToF64<From, kMode>, std::uint64_t, From>(r);
      if (r.to == "f16") return from_integer<Half, std::uint32_t, From>(r);
      if (r.to == "bf16") return from_integer<Brain, std::uint32_t, From>(r);
      if (r.to != "f32") return LaneOp{};
      return from_integer<ToF32<From, kMode>, std::uint32_t, From>(r);
    });
  });
}

template <FormatId kFormat>
LaneOp small_from_float(const Request& r) {
  if (r.from == r.to && r.rounding.ends_with('i') && kFormat != FormatId::tf32) {
    if (r.clamp == Clamp::yes || r.relu == Relu::yes || r.satfinite) return {};
    return with_rounding(r.rounding, [&](auto mode) {
      return each<WholeSmall<kFormat, decltype(mode)::value>, std::uint32_t, std::uint32_t>();
    });
  }
  if (r.from == "f32" && r.clamp == Clamp::no && r.relu == Relu::no && !r.satfinite &&
      r.rounding == "rn" && kFormat != FormatId::tf32) {
    return unary(r.flush == Flush::yes ? &narrow_all<kFormat, Flush::yes>
                                       : &narrow_all<kFormat, Flush::no>);
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
  const bool plain = r.flush == Flush::no && r.clamp == Clamp::no;
  if (plain && r.from == "f16") return unary(&widen_all<FormatId::f16>);
  if (plain && r.from == "bf16") return unary(&widen_all<FormatId::bf16>);
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

int bits_of(std::string_view type) {
  return type == "bf16" ? 16 : type == "tf32" ? 19 : std::atoi(type.data() + 1);
}

/// Whether every integer of `from` is one of `to`, so that there is nothing to clamp.
bool holds(std::string_view to, std::string_view from) {
  if (to[0] == from[0]) return bits_of(to) >= bits_of(from);
  return to[0] == 's' && bits_of(to) > bits_of(from);
}

/// The qualifiers that ptxas takes with a pair of types (PTX ISA, "cvt").
void require_form(const Opcode& opcode, const Request& r) {
  const bool to_integer = is_integer_name(r.to), from_integer = is_integer_name(r.from);
  const bool whole = r.rounding.size() == 3 && r.rounding.back() == 'i';
  const bool rounds = !r.rounding.empty() && !whole;
  const bool brain = r.to == "bf16" || r.from == "bf16";
  const auto refuse_if = [&](bool wrong, const char* why) {
    if (wrong) opcode.refuse(why);
  };
  refuse_if(r.flush == Flush::yes && r.to != "f32" && r.from != "f32", ".ftz without f32");
  refuse_if(r.clamp == Clamp::yes && brain, ".sat with bf16");
  refuse_if((r.satfinite || r.relu == Relu::yes) &&
                (r.from != "f32" || (r.to != "f16" && r.to != "bf16" && r.to != "tf32")),
            ".relu and .satfinite go from f32 to f16, bf16 and tf32");
  if (to_integer && from_integer) {
    refuse_if(!r.rounding.empty(), "integers are not rounded");
    refuse_if(r.clamp == Clamp::yes && holds(r.to, r.from), "there is nothing to clamp");
  } else if (to_integer) {
    refuse_if(!whole, "one of .rni, .rzi, .rmi, .rpi is missing");
  } else if (from_integer) {
    refuse_if(!rounds, "a rounding is missing");
  } else if (r.to == r.from) {
    refuse_if(rounds, "one of .rni, .rzi, .rmi, .rpi or none");
  } else {
    refuse_if(whole, "it rounds to no integer");
    const bool narrows = bits_of(r.to) < bits_of(r.from);
    refuse_if(narrows && !rounds, "a rounding is missing");
    refuse_if(!narrows && rounds && !brain, "nothing is rounded");
  }
}

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
  require_form(opcode, r);
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
  if (r.rounding == "rna" && r.to != "tf32") opcode.refuse(".rna goes to tf32 only");
  if (!op.run) opcode.refuse("this pair of types");
  return op;
}

}  // namespace karat::ptx::units
