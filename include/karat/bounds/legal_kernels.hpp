// Correct kernels that use what is free: the real chain of operations, once for each of several
// legal exp2 functions. How far they lie from the golden kernel is how far legal kernels do lie,
// where the worst case only says how far they could. docs/bounds.md, "The legal spread".
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/bounds/bounds.hpp"

namespace karat::bounds {

/// The sign of every error of a kernel's exp2. Its size is the largest that is legal: the deviation
/// of a kernel grows with the errors of its exp2 and is convex in them, so the extremes lead.
enum class Errs { high, low, at_random };

struct LegalKernel {
  Errs exp2;
  std::uint32_t seed;  ///< of random signs and of what else is free
};
inline constexpr LegalKernel kLegalKernels[] = {{Errs::high, 0},      {Errs::low, 1},
                                                {Errs::at_random, 2}, {Errs::at_random, 3},
                                                {Errs::at_random, 4}, {Errs::at_random, 5}};

/// What a kernel writes for one query block, sizes as in BlockTap.
struct LegalRows {
  std::vector<float> out;                     ///< rows x channels, exact in the output's format
  std::vector<float> l, lse;                  ///< rows
  std::vector<float> l_by_visit, o_by_visit;  ///< empty unless asked for
};

/// References its arguments. Thread-safe.
class LegalKernels {
 public:
  LegalKernels(const recipe::Recipe& recipe, const layout::Layout& layout,
               const attention::QuantisedHead& head, Freedom freedom);
  ~LegalKernels();

  /// One kernel on the scores and maxima of a golden tap (which the recipe fixes). With
  /// kNoFreedom the golden bits. Beside exp2 a kernel takes, where `freedom` allows it, another
  /// order of the row sum and of f32.fma's P V, fused multiply-adds (every second kernel; where a
  /// key block is promoted at once), and a reciprocal an ulp off.
  /// @param branch  what is added to the outputs; empty: the head's own
  LegalRows run(const LegalKernel& kernel, const attention::BlockTap& tap, Detail detail,
                std::span<const float> branch = {}) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::bounds
