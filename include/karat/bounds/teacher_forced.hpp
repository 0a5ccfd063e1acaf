// Inner stages of a tapped query block recomputed from the candidate's own earlier stages: "P is
// right, given your scores". A stage that is wrong only because an earlier one is stays clean here.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/bounds/bounds.hpp"

namespace karat::bounds {

/// What the candidate holds of a block; missing stages are empty.
struct CandidateTap {
  std::vector<float> a, s, m, p, l, o;
};

/// Legal values of one stage, ends included.
struct ForcedRange {
  std::vector<float> low, high;
};

/// `golden` gives the block's queries, visits and columns. Nothing where the candidate lacks the
/// stages this one is computed from: s from a; m from s; P and l from s and m; O from m and P
/// (promoted recipes).
class TeacherForced {
 public:
  TeacherForced(const recipe::Recipe& recipe, const layout::Layout& layout,
                const attention::QuantisedHead& head, int threads, Freedom freedom = {});
  ~TeacherForced();

  std::optional<ForcedRange> s(const attention::BlockTap& golden, const CandidateTap& given) const;
  std::optional<ForcedRange> m(const attention::BlockTap& golden, const CandidateTap& given) const;
  std::optional<ForcedRange> p(const attention::BlockTap& golden, const CandidateTap& given) const;
  std::optional<ForcedRange> l(const attention::BlockTap& golden, const CandidateTap& given) const;
  std::optional<ForcedRange> o(const attention::BlockTap& golden, const CandidateTap& given) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace karat::bounds
