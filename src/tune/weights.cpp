// What a step's error counts.
#include "karat/tune/weights.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::tune {
namespace {

void normalise(std::vector<double>& weights) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (double& weight : weights) weight /= sum;
}

[[noreturn]] void refuse(const std::string& subject, const std::string& problem, int steps) {
  throw Error(ErrorKind::input_output, subject, problem,
              "give " + std::to_string(steps) + " numbers from 0, one per step");
}

/// Numbers separated by blanks, commas or line ends.
std::vector<double> listed_numbers(std::string_view text, int steps, const std::string& subject) {
  std::vector<double> out;
  while (true) {
    const auto begin = text.find_first_not_of(" \t\r\n,");
    if (begin == std::string_view::npos) return out;
    text.remove_prefix(begin);
    const auto word = text.substr(0, text.find_first_of(" \t\r\n,"));
    double value = 0;
    const auto [end, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failure != std::errc{} || end != word.data() + word.size())
      refuse(subject, "\"" + std::string(word.substr(0, 40)) + "\" is no number", steps);
    out.push_back(value);
    text.remove_prefix(word.size());
  }
}

std::vector<double> json_numbers(std::string_view text, int steps, const std::string& subject) {
  const files::Json json = files::parse_json(text, subject);
  std::vector<double> out;
  for (const auto& value : json) {
    if (!value.is_number()) refuse(subject, "holds something that is no number", steps);
    out.push_back(value.get<double>());
  }
  return out;
}

}  // namespace

std::string_view to_string(Weighting weighting) {
  constexpr std::array<std::string_view, 4> kNames{"uniform", "sigma", "propagation", "user"};
  return kNames[static_cast<std::size_t>(weighting)];
}

StepWeights uniform_weights(int steps) {
  return {Weighting::uniform, "every step counts alike",
          std::vector<double>(static_cast<std::size_t>(steps), 1.0 / steps)};
}

StepWeights sampler_weights(std::span<const double> sigma) {
  StepWeights out{
      Weighting::sigma, "a step counts as far as it moves the noise level, |d sigma|", {}};
  for (std::size_t s = 0; s < sigma.size(); ++s)
    out.weight.push_back(std::abs(sigma[s] - (s + 1 < sigma.size() ? sigma[s + 1] : 0)));
  normalise(out.weight);
  return out;
}

StepWeights propagation_weights(std::span<const double> sigma, const StepErrors& errors) {
  StepWeights out = sampler_weights(sigma);
  out.weighting = Weighting::propagation;
  out.about = "|d sigma| times the measured growth of squared error by guidance";
  for (std::size_t s = 0; s < out.weight.size(); ++s) out.weight[s] *= errors.guidance[s];
  normalise(out.weight);
  return out;
}

StepWeights parse_weights(std::string_view text, int steps, const std::string& subject) {
  const auto first = text.find_first_not_of(" \t\r\n");
  const bool json = first != std::string_view::npos && text[first] == '[';
  StepWeights out{Weighting::user, subject,
                  json ? json_numbers(text, steps, subject) : listed_numbers(text, steps, subject)};
  if (out.weight.size() != static_cast<std::size_t>(steps))
    refuse(subject,
           "holds " + std::to_string(out.weight.size()) + " weights for " + std::to_string(steps) +
               " steps",
           steps);
  double sum = 0;
  for (const double weight : out.weight) {
    if (!(weight >= 0) || std::isinf(weight))
      refuse(subject, "holds a weight that is negative or not finite", steps);
    sum += weight;
  }
  if (!(sum > 0) || std::isinf(sum)) refuse(subject, "has no sum above 0", steps);
  normalise(out.weight);
  return out;
}

}  // namespace karat::tune
