// All kernels run on the block itself, so that every row has draws of its own.
#include "tap_spread.hpp"

#include <algorithm>
#include <cmath>

#include "deviation.hpp"
#include "legal_draws.hpp"

namespace karat::golden {

std::optional<TapDoubt> beyond_legal_kernels(const bounds::LegalKernels& kernels,
                                             const attention::BlockTap& golden, TapStage stage,
                                             std::span<const float> candidate) {
  const std::vector<float>& values = stage == TapStage::l ? golden.l : golden.o;
  const std::size_t channels =
      stage == TapStage::l ? 1 : golden.o.size() / std::max<std::size_t>(golden.l.size(), 1);
  if (values.empty()) return std::nullopt;
  std::vector<bounds::LegalRows> made;
  for (const bounds::LegalKernel& kernel : bounds::kLegalKernels)
    made.push_back(kernels.run(kernel, golden, bounds::Detail::stages));
  std::vector<std::span<const float>> drawn;
  for (const bounds::LegalRows& rows : made)
    drawn.emplace_back(stage == TapStage::l ? rows.l_by_visit : rows.o_by_visit);
  return beyond_legal_rows({.format = numerics::FormatId::f32,
                            .channels = channels,
                            .golden = values,
                            .candidate = candidate,
                            .kernels = drawn});
}

std::optional<TapDoubt> beyond_legal_rows(const DrawnRows& of) {
  const std::span<const float> values = of.golden, candidate = of.candidate;
  const std::size_t channels = of.channels;
  if (values.empty()) return std::nullopt;
  const std::size_t count = values.size() / channels;
  const std::vector<double> sizes = sizes_of(values, channels);
  const auto deviation_of = [&](std::span<const float> all, std::size_t row) {
    return deviation(all.subspan(row * channels, channels),
                     values.subspan(row * channels, channels), sizes[row]);
  };
  const double ulp = squared(std::ldexp(1.0, -numerics::format(of.format).fraction_bits));
  LegalDraws rows(ulp / static_cast<double>(channels)), elements(ulp);
  std::vector<Deviation> own(count);
  for (std::size_t k = 0; k < LegalDraws::kKernels; ++k) {
    for (std::size_t row = 0; row < count; ++row) {
      const Deviation drawn = deviation_of(of.kernels[k], row);
      if (!std::isfinite(drawn.row)) continue;
      rows.add(k, drawn.row);
      elements.add(k, drawn.value);
      own[row] = {std::max(own[row].row, drawn.row), std::max(own[row].value, drawn.value)};
    }
  }
  std::optional<TapDoubt> worst;
  double most = 1;
  const auto judge = [&](double found, double allowed, Doubt::Scope scope, std::size_t row) {
    const double ratio = found / allowed;
    if (!(ratio > most)) return;
    most = ratio;
    worst = TapDoubt{.doubt = {.reason = Doubt::Reason::spread,
                               .scope = scope,
                               .at = {},
                               .found = std::sqrt(found),
                               .allowed = std::sqrt(allowed)},
                     .element = row * channels};
  };
  const double reserve = squared(LegalDraws::kReserve);
  const auto n = static_cast<double>(count);
  const double one_row = rows.limit(1, n);
  const double one_value = elements.limit(1, n * static_cast<double>(channels));
  double sum = 0;
  for (std::size_t row = 0; row < count; ++row) {
    const Deviation found = deviation_of(candidate, row);
    sum += found.row;
    judge(found.row, std::max(one_row, reserve * own[row].row), Doubt::Scope::row, row);
    if (channels > 1)
      judge(found.value, std::max(one_value, reserve * own[row].value), Doubt::Scope::value, row);
  }
  judge(sum / n, rows.limit(n, 1), Doubt::Scope::block, 0);
  if (worst && worst->doubt.scope == Doubt::Scope::value) {
    const std::size_t first = worst->element;
    for (std::size_t e = first; e < first + channels; ++e)
      if (squared_distance(candidate[e], values[e]) >
          squared_distance(candidate[worst->element], values[worst->element]))
        worst->element = e;
  }
  return worst;
}

}  // namespace karat::golden
