// What a backward starts from, row by row: L and delta of legal forwards.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "karat/attention/backward_view.hpp"
#include "karat/bounds/bounds.hpp"
#include "karat/bounds/legal_kernels.hpp"
#include "karat/numerics/arithmetic/fp32.hpp"

namespace karat::bounds {

/// The golden kernel, then kLegalKernels.
inline constexpr std::size_t kRuns = 1 + std::size(kLegalKernels);

/// A number of the golden kernel and of legal ones, and all that are legal.
struct LegalNumber {
  std::array<float, kRuns> of{};
  numerics::Interval all;
};

/// Rows of one query head over positions; computed query block by query block of the forward.
class ForwardRows {
 public:
  /// References its arguments.
  ForwardRows(const recipe::Recipe& recipe, const layout::Layout& layout,
              const attention::BackwardHead& head, const attention::BackwardView& view,
              Freedom freedom, int threads, const std::function<void()>& step);
  ~ForwardRows();

  /// Rows at these positions become known.
  void require(std::span<const video::Range> positions);
  const LegalNumber& l(std::int64_t position) const { return l_[position]; }
  const LegalNumber& delta(std::int64_t position) const { return delta_[position]; }
  /// Per channel, where delta sums the output of an uncoded P.
  std::span<const LegalNumber> unquantised(std::int64_t position) const {
    return unquantised_[position];
  }

 private:
  struct Forward;
  void run(Forward& forward, const std::vector<int>& blocks);

  const recipe::Recipe& recipe_;
  const layout::Layout& layout_;
  const attention::BackwardHead& head_;
  const attention::BackwardView& view_;
  Freedom freedom_;
  int threads_;
  const std::function<void()>& step_;
  std::unique_ptr<Forward> stored_, uncoded_;  ///< the second where delta sums its output
  std::vector<char> known_;                    ///< per query block of the forward
  std::vector<LegalNumber> l_, delta_;         ///< per position
  std::vector<std::vector<LegalNumber>> unquantised_;
};

}  // namespace karat::bounds
