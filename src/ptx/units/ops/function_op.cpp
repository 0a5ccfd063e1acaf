// Reciprocals, roots, exponentials, logarithms of f32 lanes: the special-function unit's tables and
// the scalings ptxas writes around them; correctly rounded forms by IEEE operations.
// PTX ISA, "Floating Point Instructions".
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>

#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/elementary.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "karat/numerics/functions/mufu/scaling.hpp"
#include "units/ops/directed.hpp"
#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"

namespace karat::ptx::units {
namespace {

using Word = std::uint32_t;
using numerics::FormatId;
using numerics::Mufu;

struct Lanes {
  alignas(64) float x[kLanes];
};

template <Flush kFlush>
Lanes read(const void* a) {
  const auto* words = static_cast<const Word*>(a);
  Lanes lanes;
  for (int l = 0; l < kLanes; ++l) lanes.x[l] = f32_in<kFlush>(words[l]);
  return lanes;
}
template <Flush kFlush>
void write(const Lanes& lanes, void* d) {
  auto* words = static_cast<Word*>(d);
  for (int l = 0; l < kLanes; ++l) words[l] = f32_out<kFlush, Clamp::no>(lanes.x[l]);
}
void mufu(Mufu function, Lanes& lanes) {
  numerics::mufu(function, std::span<const float>(lanes.x), std::span<float>(lanes.x));
}

constexpr float kSmallest = 0x1p-126f;

template <Flush kFlush>
void ex2(void* d, const void* a, const void*, const void*) {
  Lanes x = read<kFlush>(a);
  if constexpr (kFlush == Flush::no) {
    bool halved[kLanes];
    for (int l = 0; l < kLanes; ++l) {
      halved[l] = x.x[l] < -126.0f;
      if (halved[l]) x.x[l] *= 0.5f;
    }
    mufu(Mufu::ex2, x);
    for (int l = 0; l < kLanes; ++l) {
      if (halved[l]) x.x[l] *= x.x[l];
    }
  } else {
    mufu(Mufu::ex2, x);
  }
  write<kFlush>(x, d);
}

template <Flush kFlush>
void rcp(void* d, const void* a, const void*, const void*) {
  Lanes x = read<kFlush>(a);
  float scale[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    scale[l] = kFlush == Flush::no ? numerics::reciprocal_scale(x.x[l]) : 1.0f;
    x.x[l] *= scale[l];
  }
  mufu(Mufu::rcp, x);
  for (int l = 0; l < kLanes; ++l) x.x[l] *= scale[l];
  write<kFlush>(x, d);
}

/// Subnormals times 2^24 before the unit; `undo` takes that back.
template <Mufu kFunction, Flush kFlush, typename Undo>
void scaled(void* d, const void* a, Undo undo) {
  Lanes x = read<kFlush>(a);
  bool small[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    small[l] = kFlush == Flush::no && std::fabs(x.x[l]) < kSmallest;
    if (small[l]) x.x[l] *= 0x1p24f;
  }
  mufu(kFunction, x);
  for (int l = 0; l < kLanes; ++l) {
    if (small[l]) x.x[l] = undo(x.x[l]);
  }
  write<kFlush>(x, d);
}
template <Flush kFlush>
void lg2(void* d, const void* a, const void*, const void*) {
  scaled<Mufu::lg2, kFlush>(d, a, [](float y) { return y - 24.0f; });
}
template <Flush kFlush>
void rsqrt(void* d, const void* a, const void*, const void*) {
  scaled<Mufu::rsqrt, kFlush>(d, a, [](float y) { return y * 4096.0f; });
}

/// (a * s) * MUFU.RCP(b * s)
template <Flush kFlush>
void div_full(void* d, const void* a, const void* b, const void*) {
  Lanes x = read<kFlush>(a), y = read<kFlush>(b);
  for (int l = 0; l < kLanes; ++l) {
    float s = numerics::reciprocal_scale(y.x[l]);
    if (kFlush == Flush::yes && s > 1.0f) s = 1.0f;
    x.x[l] = f32_in<kFlush>(std::bit_cast<Word>(x.x[l] * s));
    y.x[l] *= s;
  }
  mufu(Mufu::rcp, y);
  for (int l = 0; l < kLanes; ++l) x.x[l] *= y.x[l];
  write<kFlush>(x, d);
}
/// a * rcp.approx(b)
template <Flush kFlush>
void div_approx(void* d, const void* a, const void* b, const void*) {
  Word reciprocal[kLanes];
  rcp<kFlush>(reciprocal, b, nullptr, nullptr);
  Lanes x = read<kFlush>(a);
  for (int l = 0; l < kLanes; ++l) x.x[l] *= std::bit_cast<float>(reciprocal[l]);
  write<kFlush>(x, d);
}

template <float (*kFunction)(float), Flush kFlush>
void each(void* d, const void* a, const void*, const void*) {
  Lanes x = read<kFlush>(a);
  for (float& value : x.x) value = kFunction(value);
  write<kFlush>(x, d);
}
template <float (*kFunction)(float, float), Flush kFlush>
void each2(void* d, const void* a, const void* b, const void*) {
  Lanes x = read<kFlush>(a);
  const Lanes y = read<kFlush>(b);
  for (int l = 0; l < kLanes; ++l) x.x[l] = kFunction(x.x[l], y.x[l]);
  write<kFlush>(x, d);
}

float root(float x) { return std::sqrt(x); }
float divide(float a, float b) { return a / b; }
/// The remainder of the nearest quotient says on which side the exact one lies.
template <Directed kMode>
float divide_to(float a, float b) {
  const float q = a / b;
  if (!std::isfinite(a) || !std::isfinite(b) || b == 0 || a == 0) return q;
  const double quotient = double{a} / b;  // its error is far below an f32's half ulp, or exact
  const double remainder = std::fma(-quotient, double{b}, double{a});
  return round_directed<kMode>(quotient, remainder / b);
}
template <Directed kMode>
float reciprocal_to(float x) {
  return divide_to<kMode>(1.0f, x);
}
float reciprocal(float x) { return 1.0f / x; }
template <Directed kMode>
float root_to(float x) {
  if (!(x > 0) || !std::isfinite(x)) return std::sqrt(x);
  const double root = std::sqrt(double{x});
  return round_directed<kMode>(root, std::fma(-root, root, double{x}) / (2 * root));
}

// Stand-ins: the unit's tables for these are not known. Evaluated in f64, rounded once.
float sine(float x) {
  return static_cast<float>(numerics::sin_cos_turns(double{x} / (2 * std::numbers::pi)).sin);
}
float cosine(float x) {
  return static_cast<float>(numerics::sin_cos_turns(double{x} / (2 * std::numbers::pi)).cos);
}
template <float (*kFunction)(float)>
float of_angle(float x) {
  if (!std::isfinite(x)) return std::bit_cast<float>(kNan32);
  return std::fabs(x) < 0x1p-20f && kFunction(0.0f) == 0 ? x : kFunction(x);
}
float hyperbolic_tangent(float x) {
  if (std::isnan(x) || std::fabs(x) < 0x1p-12f) return x;
  if (std::fabs(x) > 20) return std::copysign(1.0f, x);
  const double power = numerics::exp_f64(2 * double{x});
  return static_cast<float>((power - 1) / (power + 1));
}

LaneOp unary(LaneOp::Run run, Fidelity fidelity) { return {run, 1, 32, {32, 0, 0}, fidelity}; }
LaneOp binary(LaneOp::Run run, Fidelity fidelity) { return {run, 2, 32, {32, 32, 0}, fidelity}; }

/// One of two instantiations.
#define KARAT_FLUSHED(function) (flush == Flush::yes ? &function<Flush::yes> : &function<Flush::no>)
#define KARAT_FLUSHED_EACH(loop, function) \
  (flush == Flush::yes ? &loop<function, Flush::yes> : &loop<function, Flush::no>)

LaneOp exact_op(Opcode& opcode, std::string_view base, std::string_view rounding, Flush flush) {
  opcode.expect_nothing_left();
  constexpr Fidelity kExact = Fidelity::definition;
  if (base == "div") {
    if (rounding == "rz")
      return binary(KARAT_FLUSHED_EACH(each2, divide_to<Directed::zero>), kExact);
    if (rounding == "rm")
      return binary(KARAT_FLUSHED_EACH(each2, divide_to<Directed::down>), kExact);
    if (rounding == "rp") return binary(KARAT_FLUSHED_EACH(each2, divide_to<Directed::up>), kExact);
    return binary(KARAT_FLUSHED_EACH(each2, divide), kExact);
  }
  if (base == "rcp") {
    if (rounding == "rz")
      return unary(KARAT_FLUSHED_EACH(each, reciprocal_to<Directed::zero>), kExact);
    if (rounding == "rm")
      return unary(KARAT_FLUSHED_EACH(each, reciprocal_to<Directed::down>), kExact);
    if (rounding == "rp")
      return unary(KARAT_FLUSHED_EACH(each, reciprocal_to<Directed::up>), kExact);
    return unary(KARAT_FLUSHED_EACH(each, reciprocal), kExact);
  }
  if (rounding == "rz") return unary(KARAT_FLUSHED_EACH(each, root_to<Directed::zero>), kExact);
  if (rounding == "rm") return unary(KARAT_FLUSHED_EACH(each, root_to<Directed::down>), kExact);
  if (rounding == "rp") return unary(KARAT_FLUSHED_EACH(each, root_to<Directed::up>), kExact);
  return unary(KARAT_FLUSHED_EACH(each, root), kExact);
}

LaneOp approximate_op(std::string_view base, Flush flush) {
  if (base == "ex2") return unary(KARAT_FLUSHED(ex2), Fidelity::supported);
  if (base == "rcp") return unary(KARAT_FLUSHED(rcp), Fidelity::supported);
  if (base == "rsqrt") return unary(KARAT_FLUSHED(rsqrt), Fidelity::supported);
  if (base == "lg2") return unary(KARAT_FLUSHED(lg2), Fidelity::stand_in);
  if (base == "div") {
    return binary(KARAT_FLUSHED(div_approx),
                  flush == Flush::yes ? Fidelity::supported : Fidelity::stand_in);
  }
  if (base == "sqrt") return unary(KARAT_FLUSHED_EACH(each, root), Fidelity::stand_in);
  if (base == "sin") return unary(KARAT_FLUSHED_EACH(each, of_angle<sine>), Fidelity::stand_in);
  if (base == "cos") return unary(KARAT_FLUSHED_EACH(each, of_angle<cosine>), Fidelity::stand_in);
  return unary(KARAT_FLUSHED_EACH(each, hyperbolic_tangent), Fidelity::stand_in);
}

/// ex2 and tanh of f16 and bf16, one or two a register: the f32 function, rounded. What the unit
/// gives is not known.
template <LaneOp::Run kFunction, FormatId kFormat, bool kTwo>
void of_halves(void* d, const void* a, const void*, const void*) {
  const auto* words = static_cast<const Word*>(a);
  auto* out = static_cast<Word*>(d);
  Word result[kLanes] = {};
  for (int shift = 0; shift < (kTwo ? 32 : 16); shift += 16) {
    Word single[kLanes];
    for (int l = 0; l < kLanes; ++l)
      single[l] = std::bit_cast<Word>(numerics::decode(words[l] >> shift & 0xFFFF, kFormat));
    kFunction(single, single, nullptr, nullptr);
    for (int l = 0; l < kLanes; ++l) {
      const float y = std::bit_cast<float>(single[l]);
      result[l] |= (std::isnan(y) ? 0x7FFFu : numerics::encode(y, kFormat, numerics::kAsComputed))
                   << shift;
    }
  }
  std::copy_n(result, kLanes, out);
}
template <FormatId kFormat, bool kTwo>
LaneOp half_function(std::string_view base) {
  return unary(base == "ex2" ? &of_halves<ex2<Flush::no>, kFormat, kTwo>
                             : &of_halves<each<hyperbolic_tangent, Flush::no>, kFormat, kTwo>,
               Fidelity::stand_in);
}
LaneOp half_function_op(Opcode opcode, std::string_view type) {
  const std::string_view base = opcode.base();
  const bool brain = type.starts_with("bf16");
  if (!opcode.take("approx")) opcode.refuse("the part .approx is missing");
  if (opcode.take("ftz") != (base == "ex2" && brain))
    opcode.refuse("ex2 of bf16 takes .ftz, the others do not");
  opcode.expect_nothing_left();
  if (type == "f16") return half_function<FormatId::f16, false>(base);
  if (type == "f16x2") return half_function<FormatId::f16, true>(base);
  if (type == "bf16") return half_function<FormatId::bf16, false>(base);
  return half_function<FormatId::bf16, true>(base);
}

#undef KARAT_FLUSHED
#undef KARAT_FLUSHED_EACH

}  // namespace

LaneOp function_op(Opcode opcode) {
  const std::string_view base = opcode.base();
  const bool exact = base == "div" || base == "rcp" || base == "sqrt";
  const bool approximate = base == "ex2" || base == "lg2" || base == "rsqrt" || base == "sin" ||
                           base == "cos" || base == "tanh";
  if (!exact && !approximate) return {};
  const std::string_view type = opcode.take_last();
  const bool half = type == "f16" || type == "f16x2" || type == "bf16" || type == "bf16x2";
  if (half && (base == "ex2" || base == "tanh")) return half_function_op(opcode, type);
  if (type != "f32") return {};
  const Flush flush = opcode.take("ftz") ? Flush::yes : Flush::no;
  if (opcode.take("approx")) {
    opcode.expect_nothing_left();
    return approximate_op(base, flush);
  }
  if (base == "div" && opcode.take("full")) {
    opcode.expect_nothing_left();
    return binary(flush == Flush::yes ? &div_full<Flush::yes> : &div_full<Flush::no>,
                  Fidelity::supported);
  }
  const std::string_view rounding = opcode.take_one_of({"rn", "rz", "rm", "rp"});
  if (!exact || rounding.empty()) opcode.refuse("neither .approx nor a rounding");
  return exact_op(opcode, base, rounding, flush);
}

}  // namespace karat::ptx::units
