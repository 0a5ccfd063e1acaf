// What torch may hand on as a second branch: its order of sums and its exp are open.
// docs/bounds.md, "Branch".
#pragma once

#include <vector>

#include "karat/attention/branch.hpp"
#include "karat/bounds/legal_kernels.hpp"

namespace karat::bounds {

/// Legal values of a head's branch, tokens x channels in original order, both ends included; empty
/// where the recipe has none. Sums are taken in any order, fused or not, or as tensor cores of BF16
/// take them; exp is within (2 + 1.173 |x|) ulp of e^x; every cast is the recipe's.
BranchRange branch_range(const recipe::Recipe& recipe, const layout::Layout& layout,
                         const attention::HeadInput& input, int threads = 0);

/// A branch inside that range: sums in several lanes that drift by sqrt(n) 2^-24 of the sum of
/// |terms|, with the kernel's signs, and exp erring alike.
std::vector<float> legal_branch(const recipe::Recipe& recipe, const layout::Layout& layout,
                                const attention::HeadInput& input, const LegalKernel& kernel);

}  // namespace karat::bounds
