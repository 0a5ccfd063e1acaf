// dO, what delta sums, delta and the gradients as whole tensors.
#include <algorithm>

#include "check_stage.hpp"
#include "tally.hpp"

namespace karat::golden {
namespace {

/// A stage with rows per token.
struct GradientRow {
  StageRow stage;
  GradientStageId id;
};
constexpr GradientRow kGradientStages[] = {
    {{"do", StageKind::matrix, ""}, GradientStageId::d_o},
    {{"o_unquantised_p", StageKind::matrix, ""}, GradientStageId::o_unquantised_p},
    {{"delta", StageKind::vector, ""}, GradientStageId::delta},
    {{"dv", StageKind::matrix, ""}, GradientStageId::dv},
    {{"dk", StageKind::matrix, ""}, GradientStageId::dk},
    {{"dq", StageKind::matrix, ""}, GradientStageId::dq}};

const GradientRow& row_of(std::string_view name) {
  return *std::ranges::find_if(kGradientStages,
                               [&](const GradientRow& each) { return each.stage.name == name; });
}

}  // namespace

LegalGradients& Comparison::legal_gradients(std::size_t b, std::size_t kv_head) {
  constexpr std::size_t kOpen = 4;  // groups whose operands are held
  const Head group{b, kv_head};
  if (std::erase(opened_, group) == 0 && opened_.size() == kOpen) {
    legal_gradients_.at(opened_.front()).close();
    opened_.erase(opened_.begin());
  }
  opened_.push_back(group);
  return legal_gradients_
      .try_emplace(group, golden_, b, kv_head, freedom_, options_.threads, [this] { step(); })
      .first->second;
}

bool Comparison::judges_gradient(std::string_view name) const {
  const bool selected = !options_.select.block || side_of(row_of(name).id) == Side::query;
  return selected && golden_.has(name) && candidate_.find(name).has_value();
}

StageReport Comparison::gradient(std::string_view name) {
  const GradientRow& row = row_of(name);
  require_shape(row.stage);
  const bool fixed = row.id == GradientStageId::d_o || !bounds::leaves_freedom(freedom_);
  const Side side = side_of(row.id);
  Tally tally(std::string(name), golden_.format(name), fixed);
  std::vector<Doubt> doubts;
  std::optional<std::int64_t> bounded;
  const std::size_t channels = row.stage.kind == StageKind::matrix ? golden_.shape().channels : 1;
  const std::size_t group = golden_.group();
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t h = 0; h < golden_.shape().heads; ++h) {
      if (!selected(b, h)) continue;
      step();
      ++done_;
      if (side == Side::key && !options_.select.head && h % group != 0) continue;
      const std::vector<float> golden = golden_.values(name, extents_of(row.stage.kind), b, h);
      std::vector<float> candidate = candidate_rows(row.stage, b, h);
      const auto skip = outside_selection(b, h, channels);
      for (std::size_t i = 0; skip && i < candidate.size(); ++i)
        if (skip(i)) candidate[i] = golden[i];  // no block of these is looked at
      const GradientRows rows{.stage = row.id,
                              .head_of_group = h % group,
                              .format = golden_.format(name),
                              .width = channels,
                              .golden = golden,
                              .candidate = candidate};
      GradientFinding finding;
      const std::int64_t before = tally.differing();
      tally.add(
          golden, candidate,
          [&] {
            if (fixed) return Legal{};
            finding = legal_gradients(b, h / group).judge(rows);
            return Legal{finding.low, finding.high};
          },
          [&](std::size_t i) {
            Location at{.batch = b, .head = h};
            if (channels > 1) at.channel = static_cast<std::int64_t>(i % channels);
            const auto token = static_cast<std::int64_t>(i / channels);
            if (side == Side::query) return at_token(at, token);
            at.token = token;
            return at;
          },
          skip);
      const bool judged = !fixed && tally.differing() > before;
      const auto doubt = [&](std::optional<Doubt> found) {
        if (!found) return;
        found->at.batch = b;
        found->at.head = h;
        doubts.push_back(*found);
      };
      if (judged) {
        bounded = bounded.value_or(0) + finding.bounded;
        doubt(finding.doubt);
      }
      if (row.stage.kind == StageKind::matrix && row.id != GradientStageId::d_o)
        doubt(note_gradient(name, b, h, rows, judged, skip));
    }
  StageReport report = tally.report();
  report.bounded = bounded;
  report.doubt(std::move(doubts));
  return report;
}

std::vector<std::string_view> gradient_stages() {
  std::vector<std::string_view> names;
  for (const GradientRow& row : kGradientStages) names.push_back(row.stage.name);
  return names;
}

}  // namespace karat::golden
