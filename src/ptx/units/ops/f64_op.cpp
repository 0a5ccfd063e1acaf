// f64 arithmetic of lanes, nearest even. PTX ISA, "Floating Point Instructions".
#include <bit>
#include <cmath>
#include <cstdint>

#include "units/ops/f32_words.hpp"
#include "units/ops/families.hpp"

namespace karat::ptx::units {
namespace {

using Word = std::uint64_t;

double value(Word x) { return std::bit_cast<double>(x); }
Word word(double x) { return std::isnan(x) ? kNan64 : std::bit_cast<Word>(x); }

template <typename Op>
void run1(void* d, const void* a, const void*, const void*) {
  auto* out = static_cast<Word*>(d);
  const auto* x = static_cast<const Word*>(a);
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = Op::of(x[lane]);
}
template <typename Op>
void run2(void* d, const void* a, const void* b, const void*) {
  auto* out = static_cast<Word*>(d);
  const auto* x = static_cast<const Word*>(a);
  const auto* y = static_cast<const Word*>(b);
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = Op::of(x[lane], y[lane]);
}
void run_fma(void* d, const void* a, const void* b, const void* c) {
  auto* out = static_cast<Word*>(d);
  const auto* x = static_cast<const Word*>(a);
  const auto* y = static_cast<const Word*>(b);
  const auto* z = static_cast<const Word*>(c);
  for (int lane = 0; lane < kLanes; ++lane) {
    out[lane] = word(std::fma(value(x[lane]), value(y[lane]), value(z[lane])));
  }
}

template <typename Op>
LaneOp unary() {
  return {&run1<Op>, 1, 64, {64, 0, 0}, Fidelity::definition};
}
template <typename Op>
LaneOp binary() {
  return {&run2<Op>, 2, 64, {64, 64, 0}, Fidelity::definition};
}

struct Add {
  static Word of(Word a, Word b) { return word(value(a) + value(b)); }
};
struct Sub {
  static Word of(Word a, Word b) { return word(value(a) - value(b)); }
};
struct Mul {
  static Word of(Word a, Word b) { return word(value(a) * value(b)); }
};
struct Div {
  static Word of(Word a, Word b) { return word(value(a) / value(b)); }
};
struct Abs {
  static Word of(Word a) { return a & ~(Word{1} << 63); }
};
struct Neg {
  static Word of(Word a) { return a ^ (Word{1} << 63); }
};
struct Root {
  static Word of(Word a) { return word(std::sqrt(value(a))); }
};
struct Reciprocal {
  static Word of(Word a) { return word(1.0 / value(a)); }
};
// Stand-ins: what the unit gives is not known. PTX says of the flushed forms that the low 32 bits
// are zeros.
constexpr Word kHigh = 0xFFFFFFFF00000000;
Word flushed(Word a) { return (a >> 52 & 0x7FF) == 0 ? a & Word{1} << 63 : a; }
struct ReciprocalHigh {
  static Word of(Word a) { return flushed(word(1.0 / value(flushed(a)))) & kHigh; }
};
struct InverseRoot {
  static Word of(Word a) { return word(1.0 / std::sqrt(value(a))); }
};
struct InverseRootHigh {
  static Word of(Word a) { return flushed(InverseRoot::of(flushed(a))) & kHigh; }
};

LaneOp approximate(Opcode& opcode) {
  const bool high = opcode.take("ftz"), rcp = opcode.base() == "rcp";
  opcode.expect_nothing_left();
  if (rcp && !high) opcode.refuse("it takes .ftz");
  LaneOp op = rcp    ? unary<ReciprocalHigh>()
              : high ? unary<InverseRootHigh>()
                     : unary<InverseRoot>();
  op.fidelity = Fidelity::stand_in;
  return op;
}

struct CopySign {
  static Word of(Word a, Word b) { return (a & (Word{1} << 63)) | (b & ~(Word{1} << 63)); }
};

enum class Extreme { min, max };
template <Extreme kExtreme>
struct MinMax {
  static Word of(Word a, Word b) {
    if (std::isnan(value(a))) return word(value(b));
    if (std::isnan(value(b))) return a;
    const bool less = value(a) < value(b) || (value(a) == value(b) && (a >> 63) > (b >> 63));
    return less == (kExtreme == Extreme::min) ? a : b;
  }
};

}  // namespace

LaneOp f64_op(Opcode opcode) {
  if (opcode.take_last() != "f64") return {};
  const std::string_view base = opcode.base();
  if ((base == "rcp" || base == "rsqrt") && opcode.take("approx")) return approximate(opcode);
  if (base != "cvt") opcode.take("rn");
  LaneOp op;
  if (base == "add") op = binary<Add>();
  if (base == "sub") op = binary<Sub>();
  if (base == "mul") op = binary<Mul>();
  if (base == "div") op = binary<Div>();
  if (base == "min") op = binary<MinMax<Extreme::min>>();
  if (base == "max") op = binary<MinMax<Extreme::max>>();
  if (base == "copysign") op = binary<CopySign>();
  if (base == "abs") op = unary<Abs>();
  if (base == "neg") op = unary<Neg>();
  if (base == "sqrt") op = unary<Root>();
  if (base == "rcp") op = unary<Reciprocal>();
  if (base == "fma" || base == "mad") {
    op = {&run_fma, 3, 64, {64, 64, 64}, Fidelity::definition};
  }
  if (op.run) opcode.expect_nothing_left();
  return op;
}

}  // namespace karat::ptx::units
