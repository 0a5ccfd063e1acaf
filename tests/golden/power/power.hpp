// What check says to an output of a sampled head, and the least that it catches.
#pragma once

#include <string>
#include <vector>

#include "check/spread.hpp"
#include "karat/golden/check.hpp"
#include "sampled_head.hpp"

namespace karat::golden {

/// The rule of check, without a file around it: bits, worst case, legal spread, error gate.
class SampledJudge {
 public:
  explicit SampledJudge(const SampledHead& head);
  Verdict verdict(const std::vector<float>& o);
  /// Why the last verdict was undecided.
  const Doubt& doubt() const { return doubt_; }
  /// Error of o against FP64 / that of the golden o, over the sampled rows.
  double error_ratio(const std::vector<float>& o) const;
  /// The golden o, every value moved by `relative` * rms of its row * a normal number.
  std::vector<float> with_noise(double relative, std::uint64_t seed) const;
  /// The golden o with `count` values of opposite sign.
  std::vector<float> with_wrong_values(std::size_t count, std::uint64_t seed) const;
  /// The golden o with its error against FP64 made (1 + more) times as large.
  std::vector<float> with_larger_error(double more) const;
  std::size_t values() const { return head_.rows.size() * head_.layout->channels; }

 private:
  const SampledHead& head_;
  std::vector<bool> sampled_;
  LegalSpread spread_;
  Doubt doubt_{};
};

/// What check catches of one preset at one size. "Caught": the verdict is no match.
struct Power {
  double noise = 0;        ///< smallest power of two from which all noise is caught
  std::size_t wrong = 0;   ///< fewest values of opposite sign that are caught
  std::size_t values = 0;  ///< looked at
  std::vector<std::string> caught, missed, invisible, meaningless;  ///< mistakes
  double worst_ratio = 1;  ///< largest error ratio of all candidates that passed
};
Power power_of(const SampledHead& head);

/// Legal kernels of the head that no check has run: exp2s that err fully at random, as NVIDIA's
/// special-function unit, by one ulp at random, upwards alone, and only for some arguments.
std::vector<std::vector<float>> legal_outputs(const SampledHead& head, std::uint32_t seed);

}  // namespace karat::golden
