// One head under forwards and backwards of many recipes: a forward that several share runs once.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "../figures.hpp"
#include "gradients/prepared.hpp"
#include "karat/attention/backward.hpp"
#include "karat/case/case.hpp"
#include "karat/study/sample.hpp"

namespace karat::study {

/// Which rows of dq, and of dk and dv, are looked at.
struct GradientSample {
  Sample queries, keys;
  const Sample& of(Output output) const { return output == Output::dq ? queries : keys; }
};

/// The sampled rows of dq, dk and dv.
struct Gradients {
  std::array<Rows, std::size(kGradients)> rows;
  Rows& of(Output output) { return rows[static_cast<std::size_t>(output) - 1]; }
  const Rows& of(Output output) const { return rows[static_cast<std::size_t>(output) - 1]; }
};

class GradientBench {
 public:
  GradientBench(const cases::GivenHead& head, std::vector<float> d_o, std::size_t channels,
                int threads, const std::function<void()>& step)
      : head_(head), d_o_(std::move(d_o)), channels_(channels), threads_(threads), step_(step) {}

  /// @param recipe  what `kernel` is a variant of
  Gradients run(const PreparedGradients& recipe, const PreparedBackward& kernel,
                const GradientSample& sample);
  /// FP64, of all those samples' rows at once, ascending by sample.
  std::vector<Gradients> truths(const layout::Layout& layout, attention::OracleMask mask,
                                std::span<const GradientSample* const> samples) const;

 private:
  /// What a backward reads of a forward.
  struct Forward {
    std::vector<float> o, lse;
  };
  const Forward& forward(const PreparedBackward& kernel, const attention::QuantisedHead& operands);
  std::span<const float> output_of_uncoded_p(const PreparedBackward& kernel,
                                             const attention::QuantisedHead& operands);

  const cases::GivenHead& head_;
  std::vector<float> d_o_;
  std::size_t channels_;
  int threads_;
  const std::function<void()>& step_;
  std::map<std::string, Forward> forwards_;
  std::map<std::string, std::vector<float>> uncoded_p_;
};

}  // namespace karat::study
