#include "power.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <random>

#include "check/error_gate.hpp"
#include "diagnose/kernel.hpp"
#include "karat/attention/operations/finish.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/functions/mufu/mufu.hpp"
#include "planted.hpp"
#include "same_value.hpp"

namespace karat::golden {
namespace {

float stored(double x, numerics::FormatId format) {
  const auto y = static_cast<float>(x);
  return format == numerics::FormatId::f32 ? y
                                           : numerics::decode(numerics::encode(y, format), format);
}

}  // namespace

SampledJudge::SampledJudge(const SampledHead& head)
    : head_(head),
      sampled_(head.layout->order.position_of.size(), false),
      spread_(
          head.recipe, *head.layout,
          [&head]() -> const attention::QuantisedHead& { return *head.operands; },
          bounds::freedom_of(head.recipe), 2) {
  for (const std::int32_t token : head.rows) sampled_[token] = true;
}

Verdict SampledJudge::verdict(const std::vector<float>& o) {
  const std::size_t channels = head_.layout->channels;
  const bounds::OutputBounds& legal = head_.bounds;
  std::vector<TruthRow> known;
  bool equal = true;
  for (std::size_t r = 0; r < head_.rows.size(); ++r) {
    const std::size_t first = head_.rows[r] * channels;
    for (std::size_t e = first; e < first + channels; ++e) {
      if (same_value(o[e], head_.golden.o[e])) continue;
      equal = false;
      if (!bounds::inside(o[e], legal.o_low[e], legal.o_high[e])) return Verdict::differs;
    }
    if (const auto row = truth_row(head_.rows[r], {&head_.truth[r * channels], channels},
                                   {&head_.golden.o[first], channels}, {&o[first], channels}))
      known.push_back(*row);
  }
  if (equal) return Verdict::equal;
  const numerics::FormatId format = attention::output_format(head_.recipe);
  const auto beyond_spread =
      spread_.judge({.stage = SpreadStage::o,
                     .format = format,
                     .channels = channels,
                     .golden = head_.golden.o,
                     .candidate = o,
                     .considered = [this](std::size_t token) { return sampled_[token]; }});
  const double reach = spread_.error_reach(head_.golden.o, [&](std::size_t token) {
    const auto found = std::ranges::lower_bound(head_.rows, static_cast<std::int32_t>(token));
    if (found == head_.rows.end() || *found != static_cast<std::int32_t>(token))
      return std::span<const double>{};
    return std::span(head_.truth).subspan((found - head_.rows.begin()) * channels, channels);
  });
  const auto doubt =
      beyond_spread
          ? beyond_spread
          : beyond(allowed_ratio(kErrorRatio, reach),
                   {.order = head_.layout->order, .blocks = head_.layout->blocks.query_blocks},
                   format, known);
  if (!doubt) return Verdict::within;
  doubt_ = *doubt;
  return Verdict::undecided;
}

double SampledJudge::error_ratio(const std::vector<float>& o) const {
  const std::size_t channels = head_.layout->channels;
  double golden = 0, candidate = 0;
  for (std::size_t r = 0; r < head_.rows.size(); ++r)
    for (std::size_t j = 0; j < channels; ++j) {
      const std::size_t e = head_.rows[r] * channels + j;
      golden += std::pow(head_.golden.o[e] - head_.truth[r * channels + j], 2);
      candidate += std::pow(o[e] - head_.truth[r * channels + j], 2);
    }
  return std::sqrt(candidate / golden);
}

std::vector<float> SampledJudge::with_noise(double relative, std::uint64_t seed) const {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const std::size_t channels = head_.layout->channels;
  std::vector<float> o = head_.golden.o;
  for (const std::int32_t token : head_.rows) {
    float* row = &o[token * channels];
    double squares = 0;
    for (std::size_t j = 0; j < channels; ++j) squares += row[j] * row[j];
    const double size = relative * std::sqrt(squares / static_cast<double>(channels));
    for (std::size_t j = 0; j < channels; ++j)
      row[j] = stored(row[j] + size * normal(random), attention::output_format(head_.recipe));
  }
  return o;
}

std::vector<float> SampledJudge::with_wrong_values(std::size_t count, std::uint64_t seed) const {
  std::mt19937_64 random(seed);
  const std::size_t channels = head_.layout->channels;
  std::vector<float> o = head_.golden.o;
  for (std::size_t n = 0; n < count; ++n) {
    const std::size_t e = random() % values();
    float& value = o[head_.rows[e / channels] * channels + e % channels];
    value = -value;
  }
  return o;
}

std::vector<float> SampledJudge::with_larger_error(double more) const {
  const std::size_t channels = head_.layout->channels;
  std::vector<float> o = head_.golden.o;
  for (std::size_t r = 0; r < head_.rows.size(); ++r)
    for (std::size_t j = 0; j < channels; ++j) {
      float& value = o[head_.rows[r] * channels + j];
      value = stored(value + more * (value - head_.truth[r * channels + j]),
                     attention::output_format(head_.recipe));
    }
  return o;
}

Power power_of(const SampledHead& head) {
  SampledJudge judge(head);
  Power power{.values = judge.values()};
  const auto caught = [&](const std::vector<float>& o) {
    const Verdict verdict = judge.verdict(o);
    if (verdict == Verdict::within)
      power.worst_ratio = std::max(power.worst_ratio, judge.error_ratio(o));
    return verdict > Verdict::within;
  };
  for (int exponent = -1; exponent >= -26; --exponent) {
    const double relative = std::ldexp(1.0, exponent);
    if (!caught(judge.with_noise(relative, 1))) break;
    power.noise = relative;
  }
  for (power.wrong = 1; power.wrong < power.values; power.wrong *= 2)
    if (caught(judge.with_wrong_values(power.wrong, 2))) break;
  for (int exponent = 0; exponent >= -12; --exponent)
    caught(judge.with_larger_error(std::ldexp(1.0, exponent)));
  for (const PlantedMistake& mistake : planted_mistakes()) {
    const auto o = mistake.make(head);
    const std::string name(mistake.name);
    if (!o)
      power.meaningless.push_back(name);
    else if (judge.verdict(*o) == Verdict::equal)
      power.invisible.push_back(name);
    else
      (caught(*o) ? power.caught : power.missed).push_back(name);
  }
  return power;
}

std::vector<std::vector<float>> legal_outputs(const SampledHead& head, std::uint32_t seed) {
  const std::size_t channels = head.layout->channels;
  std::vector<std::vector<float>> outputs;
  if (!bounds::leaves_freedom(head.recipe)) return outputs;
  const auto add = [&](const std::function<std::vector<float>(const attention::BlockTap&)>& run) {
    std::vector<float>& o = outputs.emplace_back(head.golden.o);
    for (const attention::BlockTap& tap : head.golden.taps) {
      const std::vector<float> rows = run(tap);
      for (std::int64_t i = 0; i < tap.queries.size(); ++i)
        if (const std::int32_t token = head.layout->order.token_at[tap.queries.begin + i];
            token >= 0)
          std::copy_n(&rows[i * channels], channels, &o[token * channels]);
    }
  };
  const bounds::LegalKernels kernels(head.recipe, *head.layout, *head.operands,
                                     bounds::freedom_of(head.recipe));
  add([&](const attention::BlockTap& tap) {
    return kernels.run({bounds::Errs::at_random, 1000 + seed}, tap, bounds::Detail::outputs).out;
  });
  if (!kernel_runs(head.recipe)) return outputs;
  const auto with_exp2 = [&](const KernelExp2& exp2) {
    add([&](const attention::BlockTap& tap) {
      return run_kernel(head.recipe, *head.layout, *head.operands, tap, {}, exp2).out;
    });
  };
  const auto hash = [seed](float x) {
    std::uint32_t h = std::bit_cast<std::uint32_t>(x) * 2654435761u ^ seed * 2246822519u;
    h = (h ^ h >> 15) * 2246822519u;
    return h ^ h >> 13;
  };
  const auto ulps = [](float rounded, int count) {
    return static_cast<float>(rounded + count * 0x1p-23 * std::exp2(std::ilogb(rounded)));
  };
  with_exp2(
      [=](float x, float rounded) { return ulps(rounded, static_cast<int>(hash(x) % 3) - 1); });
  with_exp2([](float x, float) { return numerics::ex2_approx_ftz(x); });
  with_exp2([=](float x, float rounded) { return ulps(rounded, static_cast<int>(hash(x) % 2)); });
  with_exp2([=](float x, float rounded) { return ulps(rounded, hash(x) % 16 == 0 ? 1 : 0); });
  return outputs;
}

}  // namespace karat::golden
