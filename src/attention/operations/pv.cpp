// P V, one segment of a key block after the other.
#include "karat/attention/operations/pv.hpp"

namespace karat::attention {

Values values_of(const Launch& launch) {
  Values values{.all = launch.head.v.view(), .scales_at = {}};
  if (launch.v_scaled_per_block)
    values.scales_at = [&launch](std::int64_t key) { return launch.block_scales(key); };
  return values;
}

template <std::floating_point Alpha>
void add_pv(const Kernel& kernel, numerics::MatrixView<const float> p,
            std::span<const float> p_scale, const Values& v, video::Range keys,
            std::span<const Alpha> alpha, std::span<float> o, numerics::Path path) {
  const std::size_t channels = kernel.channels, rows = p.rows;
  rescale(kernel, alpha, o);
  std::vector<float> t(o.size());
  for (const video::Range segment : kernel.segments(keys)) {
    const auto size = static_cast<std::size_t>(segment.size());
    numerics::RowOperand a;
    numerics::ColumnOperand b;
    a.pack(kernel.pv, {&p(0, segment.begin - keys.begin), rows, size, p.row_stride, 1});
    b.pack(kernel.pv, v.all.rows_from(segment.begin, size).transposed());
    if (kernel.recipe.pv.promote_every == 0) {
      numerics::chain(kernel.pv, a, b, numerics::Start::from_d,
                      numerics::row_major(o.data(), rows, channels), path);
      continue;
    }
    numerics::chain(kernel.pv, a, b, numerics::Start::absent,
                    numerics::row_major(t.data(), rows, channels), path);
    const std::vector<float> s_v = v.scales_at ? v.scales_at(segment.begin) : std::vector<float>{};
    const bool scaled = kernel.p_scaled_by_rows || !s_v.empty();
    for (std::size_t e = 0; e < o.size(); ++e) {
      float f = s_v.empty() ? 1.0f : s_v[e % channels];
      if (kernel.p_scaled_by_rows) f = kernel.fp32.multiply(p_scale[e / channels], f);
      o[e] = promoted(kernel.fp32, o[e], t[e], scaled ? &f : nullptr);
    }
  }
}

template void add_pv(const Kernel&, numerics::MatrixView<const float>, std::span<const float>,
                     const Values&, video::Range, std::span<const float>, std::span<float>,
                     numerics::Path);
template void add_pv(const Kernel&, numerics::MatrixView<const float>, std::span<const float>,
                     const Values&, video::Range, std::span<const double>, std::span<float>,
                     numerics::Path);

}  // namespace karat::attention
