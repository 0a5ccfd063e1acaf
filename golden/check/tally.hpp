// Counts the differences of one stage, array by array.
#pragma once

#include <functional>
#include <span>

#include "karat/golden/check.hpp"

namespace karat::golden {

/// Legal range of every element; empty spans: only the golden value.
struct Legal {
  std::span<const float> low, high;
};

class Tally {
 public:
  Tally(std::string stage, numerics::FormatId format, bool fixed);

  /// `locate(i)` is asked about few elements; `skip(i)` leaves elements out (selection). `legal` is
  /// asked for once, if anything differs.
  void add(std::span<const float> golden, std::span<const float> candidate,
           const std::function<Legal()>& legal, const std::function<Location(std::size_t)>& locate,
           const std::function<bool(std::size_t)>& skip,
           const std::function<void(std::size_t, bool outside)>& on_difference = {});
  std::int64_t differing() const { return report_.differing; }
  std::int64_t outside() const { return report_.outside; }
  StageReport report() const;

 private:
  void count_specials(float value, Specials& specials) const;
  void note(std::size_t i, float golden, float candidate, float low, float high, bool outside,
            const std::function<Location(std::size_t)>& locate);

  StageReport report_;
  float largest_;
  double error_squared_ = 0, golden_squared_ = 0;
};

}  // namespace karat::golden
