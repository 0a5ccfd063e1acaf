// Implementation of free_branch.hpp.
#include "free_branch.hpp"

#include <algorithm>

#include "deviation.hpp"
#include "karat/bounds/head_work.hpp"
#include "same_value.hpp"

namespace karat::golden {

FreeBranch::FreeBranch(const GoldenFile& golden, std::size_t batch, std::size_t head,
                       std::optional<std::vector<float>> own, int threads,
                       std::function<void()> step)
    : golden_(golden),
      batch_(batch),
      head_(head),
      own_(std::move(own)),
      threads_(threads),
      step_(std::move(step)) {
  if (own_)
    differs_ = !std::ranges::equal(
        *own_, golden_.values("branch", cases::Extents::matrix, batch_, head_), same_value);
}

const FreeBranch::Values& FreeBranch::values() {
  const auto read = [&](const char* name) {
    return golden_.values(name, cases::Extents::matrix, batch_, head_);
  };
  if (!values_) values_ = {read("q"), read("k"), read("v")};
  return *values_;
}

const bounds::BranchRange& FreeBranch::range() {
  if (!range_)
    range_ = bounds::branch_range(golden_.recipe(), golden_.layout(batch_, head_), values().view(),
                                  threads_);
  return *range_;
}

std::span<const float> FreeBranch::kernel(std::size_t number) {
  if (kernels_[number].empty()) {
    step_();
    kernels_[number] = bounds::legal_branch(golden_.recipe(), golden_.layout(batch_, head_),
                                            values().view(), bounds::kLegalKernels[number]);
  }
  return kernels_[number];
}

std::vector<bool> FreeBranch::repeated(std::span<const float> candidate) const {
  const layout::Layout& layout = golden_.layout(batch_, head_);
  std::vector<bool> repeats(candidate.size() / layout.channels, false);
  const auto row = [&](std::int64_t position) {
    return candidate.subspan(layout.order.token_at[position] * layout.channels, layout.channels);
  };
  for (const video::Range range : layout.means.queries)
    for (std::int64_t at = range.begin + 1; at < range.end; ++at)
      repeats[layout.order.token_at[at]] =
          std::ranges::equal(row(range.begin), row(at), same_value);
  return repeats;
}

std::optional<Doubt> FreeBranch::judge(std::span<const float> golden,
                                       std::span<const float> candidate,
                                       const std::function<bool(std::size_t token)>& considered) {
  const layout::Layout& layout = golden_.layout(batch_, head_);
  const std::vector<double> sizes = sizes_of(golden, layout.channels);
  const std::vector<bool> repeats = golden_.recipe().branch.kind == recipe::BranchKind::coarse
                                        ? repeated(candidate)
                                        : std::vector<bool>(sizes.size(), false);
  return beyond_legal_spread(
      {.format = golden_.format("branch"),
       .channels = layout.channels,
       .golden = golden,
       .candidate = candidate,
       .sizes = sizes,
       .blocks = layout.blocks.query_blocks,
       .order = layout.order,
       .considered = [&](std::size_t token) { return considered(token) && !repeats[token]; }},
      *this);
}

void FreeBranch::run(const std::vector<int>& blocks) {
  const layout::Layout& layout = golden_.layout(batch_, head_);
  for (const int block : blocks)
    for (std::size_t number = 0; number < LegalDraws::kKernels; ++number)
      blocks_[block][number] = bounds::gather(kernel(number), layout,
                                              layout.blocks.query_blocks[block], layout.channels);
}

}  // namespace karat::golden
