// Highway loops with run-time dispatch. Subnormals are a template parameter, so that no loop asks.
#include "backward/loops.hpp"

#include "karat/numerics/base/simd.hpp"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backward/loops.cpp"
// clang-format off
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "fast/lanes-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace karat::attention::HWY_NAMESPACE {

using Given = BackwardLoops::Given;

template <Subnormals kSubnormals>
struct GradientLoops {
  static void ScoreGradients(Block p, Block dp, Given delta, const float* root, Block ds) {
    const D d;
    const V r = hn::Set(d, root == nullptr ? 1.0f : *root);
    for (size_t i = 0; i < p.rows; ++i) {
      const V subtracted = hn::Set(d, delta[i]);
      for (size_t j = 0; j < p.stride; j += hn::Lanes(d)) {
        const V difference = Flushed<kSubnormals>(hn::Sub(hn::LoadU(d, dp.row(i) + j), subtracted));
        V product = Flushed<kSubnormals>(hn::Mul(hn::LoadU(d, p.row(i) + j), difference));
        if (root != nullptr) product = Flushed<kSubnormals>(hn::Mul(product, r));
        hn::StoreU(product, d, ds.row(i) + j);
      }
    }
  }

  static void FusedColumns(Block a, Given row_scale, Given column_scale, float c, Given l,
                           Block x) {
    const D d;
    const V vc = hn::Set(d, c);
    for (size_t i = 0; i < a.rows; ++i) {
      const V r = hn::Set(d, row_scale[i]), minus_l = hn::Set(d, -l[i]);
      for (size_t j = 0; j < a.stride; j += hn::Lanes(d)) {
        const V scale = Flushed<kSubnormals>(hn::Mul(r, hn::LoadU(d, &column_scale[j])));
        const V f = Flushed<kSubnormals>(hn::Mul(scale, vc));
        hn::StoreU(Fused(hn::LoadU(d, a.row(i) + j), f, minus_l), d, x.row(i) + j);
      }
    }
  }
};

constexpr size_t kGroup = 16;

void GroupMaxima(Block x, std::span<float> maxima) {
  const D d;
  const auto elements = x.elements();
  for (size_t group = 0; group * kGroup < elements.size(); ++group) {
    V largest = hn::Zero(d);
    for (size_t j = 0; j < kGroup; j += hn::Lanes(d)) {
      const V size = hn::Abs(hn::LoadU(d, &elements[group * kGroup + j]));
      largest = hn::IfThenElse(hn::Lt(largest, size), size, largest);
    }
    maxima[group] = hn::GetLane(hn::MaxOfLanes(d, largest));
  }
}

template <class Operation>
void WithGroups(Block x, Given operand, Block y, const Operation& operation) {
  const D d;
  const auto from = x.elements(), to = y.elements();
  for (size_t group = 0; group * kGroup < from.size(); ++group) {
    const V same = hn::Set(d, operand[group]);
    for (size_t j = group * kGroup; j < (group + 1) * kGroup; j += hn::Lanes(d))
      hn::StoreU(Flushed<Subnormals::flush>(operation(hn::LoadU(d, &from[j]), same)), d, &to[j]);
  }
}
void DivideGroups(Block x, Given operand, Block y) {
  WithGroups(x, operand, y, [](V a, V b) { return hn::Div(a, b); });
}
void MultiplyGroups(Block x, Given operand, Block y) {
  WithGroups(x, operand, y, [](V a, V b) { return hn::Mul(a, b); });
}

template <Subnormals kSubnormals>
constexpr BackwardLoops kGradientLoops = {
    .score_gradients = &GradientLoops<kSubnormals>::ScoreGradients,
    .fused_columns = &GradientLoops<kSubnormals>::FusedColumns,
    .group_maxima = &GroupMaxima,
    .divide_groups = &DivideGroups,
    .multiply_groups = &MultiplyGroups,
};

const BackwardLoops* GradientLoopsFor(Subnormals subnormals) {
  return subnormals == Subnormals::flush ? &kGradientLoops<Subnormals::flush>
                                         : &kGradientLoops<Subnormals::keep>;
}

}  // namespace karat::attention::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karat::attention {
namespace {
HWY_EXPORT(GradientLoopsFor);
}  // namespace

const BackwardLoops& backward_loops(numerics::Subnormals subnormals) {
  return *HWY_DYNAMIC_DISPATCH(GradientLoopsFor)(subnormals);
}

}  // namespace karat::attention
#endif  // HWY_ONCE
