// Means over the seeds of a loop study, which its text, JSON and page share.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "karat/statistics/bootstrap.hpp"
#include "karat/study/loop.hpp"

namespace karat::study {

/// Root mean square and its 95 % interval over seeds.
struct LoopMean {
  double value = 0;
  std::optional<statistics::Interval> interval;  ///< none for a single seed
};

/// Values that belong to seeds: root of the mean over seeds of each seed's mean square.
class SeedSquares {
 public:
  void add(int seed, double value) {
    Sum& sum = sums_[seed];
    sum.squares += value * value;
    ++sum.count;
  }
  bool empty() const { return sums_.empty(); }
  LoopMean mean() const;

 private:
  struct Sum {
    double squares = 0;
    int count = 0;
  };
  std::map<int, Sum> sums_;
};

/// Whole runs of one name.
struct WholeRuns {
  std::string name;
  std::vector<LoopMean> drift;  ///< after every step
};
/// In the order of their first run.
std::vector<WholeRuns> whole_runs(const LoopStudy& study);

/// Local errors of a recipe by step: over layers, heads, branches and seeds; nothing where none was
/// measured.
std::vector<std::optional<LoopMean>> local_errors(const LoopStudy& study, int recipe);
/// The same by layer, over all steps.
std::vector<std::optional<LoopMean>> layer_errors(const LoopStudy& study, int recipe);

/// The weight of a step with its interval over seeds: of the weights themselves, not of squares.
LoopMean step_weight(const LoopWeights& weights, int step);

/// Seeds that any run or local error has.
std::size_t seed_count(const LoopStudy& study);

}  // namespace karat::study
