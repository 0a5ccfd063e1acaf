// What shards are expected to take: work by their layout, times by measured rates (docs/scale.md).
#pragma once

#include <map>
#include <string>

#include "karat/layout/layout.hpp"
#include "karat/sweep/work.hpp"

namespace karat::sweep {

/// Rates of one core, measured as docs/scale.md says; estimates of times alone rest on them.
struct Rates {
  double golden = 4.4e9;  ///< multiply-adds a second of `karat make`: attention with its bounds
  double truth = 14e9;    ///< of the FP64 truth of a golden file
  double study = 11e9;    ///< of a study: kernels and truth of sampled rows
  double values = 30e6;   ///< values a second generated, coded and written
  double check = 150e6;   ///< bytes a second of golden file that are compared
  double diagnose = 2e6;  ///< bytes a second of golden file under the hypotheses
};
inline constexpr Rates kRates;

/// Multiply-adds of one head under a recipe; equal questions are answered once. Of a mask that is
/// predicted from values the work of the dense one. @pre recipes of one name are equal
class HeadWork {
 public:
  struct Answer {
    double sparse = 0;  ///< of the recipe's mask
    double dense = 0;   ///< of all pairs
  };
  Answer of(const recipe::Recipe& recipe, const layout::Setting& setting);

 private:
  std::map<std::string, Answer> known_;
};

/// A golden file of `heads` heads, with its backward or without.
Cost golden_cost(const HeadWork::Answer& head, const layout::Setting& setting, double heads,
                 bool backward);

}  // namespace karat::sweep
