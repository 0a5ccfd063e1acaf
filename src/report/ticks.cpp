// Implementation of report/ticks.hpp.
#include "karat/report/ticks.hpp"

#include <algorithm>
#include <cmath>

#include "karat/report/text.hpp"

namespace karat::report {
namespace {

/// What a step of a decimal axis is: `mantissa` (1, 2 or 5) times a power of ten.
struct Step {
  int mantissa = 1, power = 0;
  Step next() const {
    return mantissa == 1 ? Step{2, power} : mantissa == 2 ? Step{5, power} : Step{1, power + 1};
  }
  double value() const { return mantissa * std::pow(10, power); }
};

/// The k-th multiple of a step, as near as a double gets.
double multiple(Step step, double k) {
  return step.power < 0 ? k * step.mantissa / std::pow(10, -step.power)
                        : k * step.mantissa * std::pow(10, step.power);
}

/// "1e-05" is "1e-5".
std::string without_zeros_of_exponent(std::string text) {
  const std::size_t e = text.find('e');
  if (e == std::string::npos) return text;
  if (text[e + 1] == '+') text.erase(e + 1, 1);
  const std::size_t digits = e + 1 + (text[e + 1] == '-' ? 1 : 0);
  while (text[digits] == '0' && digits + 1 < text.size()) text.erase(digits, 1);
  return text;
}

/// With all digits that tell neighbours of this step apart.
std::string label_of(double value, Step step, double largest) {
  const int decimals = std::max(0, -step.power);
  if (decimals <= 5 && largest < 1e7) return print("%.*f", decimals, value);
  const int digits = static_cast<int>(std::floor(std::log10(largest) + 1e-9)) - step.power + 1;
  return without_zeros_of_exponent(print("%.*g", std::clamp(digits, 1, 16), value));
}

std::vector<Tick> linear(double low, double high, bool whole, int most) {
  const double span = high - low, room = 1e-9 * span;
  const auto multiples = [&](Step step, int every) {
    const double largest = std::max(std::abs(low), std::abs(high));
    std::vector<Tick> found;
    for (double k = std::ceil((low - room) / step.value()); k * step.value() <= high + room;
         k += every) {
      const double value = multiple(step, k == 0 ? 0 : k);
      found.push_back({value, label_of(value, step, largest)});
    }
    return found;
  };
  Step step{1, static_cast<int>(std::floor(std::log10(span / most))) - 1};
  if (whole && step.power < 0) step = {1, 0};
  std::vector<Tick> found = multiples(step, 1);
  while (std::ssize(found) > most) {
    const auto finer = static_cast<int>(found.size());
    auto coarser = multiples(step.next(), 1);
    if (coarser.size() < 2) return multiples(step, (finer + most - 1) / most);
    step = step.next();
    found = std::move(coarser);
  }
  return found;
}

std::vector<Tick> logarithmic(double low, double high, bool whole, int most) {
  const auto within = [&](const std::vector<int>& parts, int every) {
    std::vector<Tick> found;
    const auto from = static_cast<int>(std::floor(std::log10(low))),
               to = static_cast<int>(std::ceil(std::log10(high)));
    for (int power = from; power <= to; ++power) {
      if (power % every != 0) continue;
      for (const int part : parts) {
        const double value = multiple({1, power}, part);
        if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9) || (whole && value < 1)) continue;
        found.push_back({value, without_zeros_of_exponent(print("%g", value))});
      }
    }
    return found;
  };
  struct Kind {
    std::vector<int> parts;
    std::ptrdiff_t least;
  };
  for (const Kind& kind : {Kind{{1, 2, 5}, 3}, Kind{{1, 3}, 3}, Kind{{1}, 2}}) {
    auto found = within(kind.parts, 1);
    if (std::ssize(found) <= most && std::ssize(found) >= kind.least) return found;
  }
  if (std::log10(high / low) < 1) return linear(low, high, whole, most);
  for (int every = 2;; ++every) {
    auto found = within({1}, every);
    if (std::ssize(found) <= most)
      return found.size() >= 2 ? found : linear(low, high, whole, most);
  }
}

}  // namespace

std::vector<Tick> ticks(double low, double high, const TickRules& rules) {
  const int most = std::max(2, rules.most);
  return rules.scale == Scale::linear ? linear(low, high, rules.whole, most)
                                      : logarithmic(low, high, rules.whole, most);
}

}  // namespace karat::report
