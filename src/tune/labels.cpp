// Labels of the tuner's dynamic programs.
#include "labels.hpp"

#include <algorithm>
#include <cmath>

namespace karat::tune {
namespace {

constexpr std::uint32_t kNoNode = 0xffffffff;
constexpr double kUnits = 0x1p50;  // of the largest total time: 2^50 + rounding stays below 2^63

}  // namespace

void undominated(Labels& labels) {
  std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) {
    if (a.time != b.time) return a.time < b.time;
    return a.error != b.error ? a.error < b.error : a.candidate < b.candidate;
  });
  std::size_t kept = 0;
  for (const Label& label : labels)
    if (kept == 0 || label.error < labels[kept - 1].error) labels[kept++] = label;
  labels.resize(kept);
}

LabelArena::LabelArena(const Problem& problem) : problem_(&problem) {
  double total = 0;
  const auto row = static_cast<std::ptrdiff_t>(problem.candidates);
  for (auto at = problem.time.begin(); at != problem.time.end(); at += row)
    total += *std::max_element(at, at + row);
  if (total > 0) unit_ = total / kUnits;
  for (const double time : problem.time) time_.push_back(std::llround(time / unit_));
}

Label LabelArena::start(std::uint16_t candidate) {
  Label label = extend({.node = kNoNode}, 0, candidate);
  keep(label);
  return label;
}

Label LabelArena::extend(const Label& label, std::size_t item, std::uint16_t candidate) const {
  const std::size_t at = problem_->at(item, candidate);
  return {.time = label.time + time_[at],
          .error = label.error + problem_->error[at],
          .before = label.node,
          .node = kNoNode,
          .candidate = candidate};
}

void LabelArena::keep(Label& label) {
  label.node = static_cast<std::uint32_t>(nodes_.size());
  nodes_.push_back({label.before, label.candidate});
}

bool LabelArena::keep(Labels& labels, std::size_t most) {
  undominated(labels);
  const std::size_t size = labels.size();
  if (size > most && most > 1) {
    // Places ascend, none before its source: the list can be thinned where it stands.
    for (std::size_t i = 0; i < most; ++i) labels[i] = labels[i * (size - 1) / (most - 1)];
    labels.resize(most);
  }
  for (Label& label : labels) keep(label);
  return size <= most;
}

Assignment LabelArena::path(const Label& label) const {
  Assignment out;
  for (std::uint32_t node = label.node; node != kNoNode; node = nodes_[node].before)
    out.push_back(nodes_[node].candidate);
  std::reverse(out.begin(), out.end());
  return out;
}

}  // namespace karat::tune
