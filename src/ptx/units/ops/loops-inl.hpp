// Loops over the lanes of a warp, once per SIMD target: functions of words become functions of
// registers. No include guard in the usual form: foreach_target.h includes it repeatedly.
#if defined(KARAT_PTX_UNITS_LOOPS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef KARAT_PTX_UNITS_LOOPS_INL_HPP
#undef KARAT_PTX_UNITS_LOOPS_INL_HPP
#else
#define KARAT_PTX_UNITS_LOOPS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstdint>

#include "units/lane_op.hpp"
#include "units/lanes.hpp"

// Result and operand may be the same array, and no lane looks at another.
#if defined(__clang__)
#define KARAT_PTX_EACH_LANE _Pragma("clang loop vectorize(assume_safety)")
#else
#define KARAT_PTX_EACH_LANE _Pragma("GCC ivdep")
#endif

HWY_BEFORE_NAMESPACE();
namespace karat::ptx::units::HWY_NAMESPACE {

template <typename Op, typename R, typename A>
void Run1(void* d, const void* a, const void*, const void*) {
  auto* out = static_cast<R*>(d);
  const auto* x = static_cast<const A*>(a);
  KARAT_PTX_EACH_LANE
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = Op::Of(x[lane]);
}

template <typename Op, typename R, typename A, typename B>
void Run2(void* d, const void* a, const void* b, const void*) {
  auto* out = static_cast<R*>(d);
  const auto* x = static_cast<const A*>(a);
  const auto* y = static_cast<const B*>(b);
  KARAT_PTX_EACH_LANE
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = Op::Of(x[lane], y[lane]);
}

template <typename Op, typename R, typename A, typename B, typename C>
void Run3(void* d, const void* a, const void* b, const void* c) {
  auto* out = static_cast<R*>(d);
  const auto* x = static_cast<const A*>(a);
  const auto* y = static_cast<const B*>(b);
  const auto* z = static_cast<const C*>(c);
  KARAT_PTX_EACH_LANE
  for (int lane = 0; lane < kLanes; ++lane) out[lane] = Op::Of(x[lane], y[lane], z[lane]);
}

template <typename T>
constexpr std::uint8_t kBits = sizeof(T) * 8;

template <typename Op, typename R = std::uint32_t, typename A = std::uint32_t>
LaneOp Unary() {
  return {&Run1<Op, R, A>, 1, kBits<R>, {kBits<A>, 0, 0}, Fidelity::definition};
}
template <typename Op, typename R = std::uint32_t, typename A = std::uint32_t, typename B = A>
LaneOp Binary() {
  return {&Run2<Op, R, A, B>, 2, kBits<R>, {kBits<A>, kBits<B>, 0}, Fidelity::definition};
}
template <typename Op, typename R = std::uint32_t, typename A = std::uint32_t, typename B = A,
          typename C = B>
LaneOp Ternary() {
  return {&Run3<Op, R, A, B, C>, 3, kBits<R>, {kBits<A>, kBits<B>, kBits<C>}, Fidelity::definition};
}

}  // namespace karat::ptx::units::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include toggle
