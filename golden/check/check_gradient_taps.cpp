// The inner stages of tapped blocks of a backward.
#include <algorithm>

#include "candidate_values.hpp"
#include "check_stage.hpp"
#include "karat/attention/backward.hpp"
#include "karat/case/stages.hpp"
#include "karat/numerics/base/error.hpp"
#include "tally.hpp"

namespace karat::golden {
namespace {

using Query = bounds::QueryBlockBounds;
using Key = bounds::KeyBlockBounds;

/// A stage of tapped query blocks.
struct QueryTapRow {
  std::string_view name, stage;
  bool per_channel;                    ///< rows of channels; else of columns
  bounds::LegalValues Query::*values;  ///< null: nothing is free
};
constexpr QueryTapRow kQueryTaps[] = {{"s", "backward s", false, nullptr},
                                      {"p", "backward p", false, &Query::p},
                                      {"p_codes", "backward p_codes", false, &Query::p_operand},
                                      {"dp", "dp", false, nullptr},
                                      {"ds", "ds", false, &Query::ds},
                                      {"ds_codes", "ds_codes", false, &Query::ds_operand},
                                      {"dq", "dq by block", true, &Query::dq_by_visit}};
struct KeyTapRow {
  std::string_view name, stage;
  bounds::LegalValues Key::*values;
};
constexpr KeyTapRow kKeyTaps[] = {{"dv", "dv by block", &Key::dv_by_visit},
                                  {"dk", "dk by block", &Key::dk_by_visit}};
/// What says where a tap's values stand.
constexpr std::string_view kQueryLabels[] = {"query_token", "key_token", "key_block",
                                             "column_begin"};
constexpr std::string_view kKeyLabels[] = {"key_token", "query_block"};

/// One stage on its way.
struct GradientTapStage {
  GradientTapStage(std::string_view name, numerics::FormatId format, bool fixed)
      : tally(std::string(name), format, fixed) {}
  Tally tally;
  std::vector<Doubt> doubts;
};

}  // namespace

void Comparison::require_same_label(const std::string& name) const {
  const auto found = candidate_.find(name);
  const auto own = golden_.source().find(name);
  if (!found || !own) return;
  const auto numbers = [](const cases::TensorSource& source, const std::string& of) {
    const files::Tensor tensor = source.read(of);
    std::vector<std::int64_t> values;
    const auto add = [&](auto span) { values.assign(span.begin(), span.end()); };
    if (tensor.dtype == files::DType::i32) add(tensor.as<std::int32_t>());
    if (tensor.dtype == files::DType::i64) add(tensor.as<std::int64_t>());
    return values;
  };
  if (numbers(candidate_, *found) == numbers(golden_.source(), *own)) return;
  throw Error(ErrorKind::usage, candidate_.subject() + ": " + *found,
              "does not say what the golden file's says",
              "store the tap's rows, columns and turns in the golden order");
}

/// One stage of one tapped block. @param legal  asked for when something differs; null: fixed
void Comparison::judge_tap(Tally& tally, std::vector<Doubt>& doubts, const TappedValues& tap,
                           const std::function<const bounds::LegalValues&()>& legal) {
  const auto values_of = [&](const cases::TensorSource& source) {
    const std::string held = *source.find(tap.name);
    const std::string subject = source.subject() + ": " + held;
    std::vector<float> values = candidate_values(source.read(held), tap.format, subject);
    return std::pair{std::move(values), subject};
  };
  const std::vector<float> golden = values_of(golden_.source()).first;
  const auto [candidate, subject] = values_of(candidate_);
  if (candidate.size() != golden.size())
    throw Error(ErrorKind::usage, subject,
                std::to_string(candidate.size()) + " values where the golden file has " +
                    std::to_string(golden.size()),
                "compare the same case");
  if (golden.empty()) return;
  const files::Shape shape = golden_.source().info(*golden_.source().find(tap.name)).shape;
  const std::size_t width = tap.width > 0 ? tap.width : shape.back();
  // In a free order only the last turn holds the same key blocks in every kernel.
  const std::size_t skipped =
      tap.last_turn_alone ? golden.size() - golden.size() / shape.front() : 0;
  const auto locate = [&](std::size_t i) {
    Location at = tap.at;
    if (tap.width > 0) at.channel = static_cast<std::int64_t>((i + skipped) % width);
    return at;
  };
  const std::int64_t before = tally.differing(), outside = tally.outside();
  const auto judged = [&](const std::vector<float>& values) {
    return std::span<const float>(values).subspan(skipped);
  };
  tally.add(judged(golden), judged(candidate),
            [&] {
              return legal ? Legal{judged(legal().low), judged(legal().high)} : Legal{};
            },
            locate, {});
  if (!legal || tally.differing() == before || tally.outside() > outside) return;
  auto doubt = beyond_legal_tap(legal(), tap.format, width, skipped, candidate);
  if (!doubt) return;
  doubt->doubt.at = tap.at;
  if (doubt->doubt.scope == Doubt::Scope::value && tap.width > 0)
    doubt->doubt.at.channel = static_cast<std::int64_t>(doubt->element % width);
  doubts.push_back(doubt->doubt);
}

/// A tapped block of the backward, which need not be one of the forward, lies in what is selected.
bool Comparison::selected_rows(std::size_t b, std::size_t head, int block) const {
  if (!options_.select.block) return true;
  const layout::Layout& layout = golden_.layout(b, head);
  const video::Range selected = layout.blocks.query_blocks[*options_.select.block];
  const video::Range rows =
      attention::backward_blocks(golden_.recipe(), layout).query_blocks[block];
  return selected.begin <= rows.begin && rows.end <= selected.end;
}

std::vector<StageReport> Comparison::gradient_taps() {
  const bool free = bounds::leaves_freedom(freedom_);
  const bool any_order = freedom_.summation != bounds::Summation::fixed &&
                         golden_.recipe().backward.loop == recipe::BackwardLoop::key_blocks;
  const std::size_t group = golden_.group();
  constexpr std::size_t kQueries = std::size(kQueryTaps);
  std::vector<std::optional<GradientTapStage>> stages(kQueries + std::size(kKeyTaps));
  const auto judge = [&](std::size_t number, std::string_view stage, TappedValues tap, bool fixed,
                         const std::function<const bounds::LegalValues&()>& legal) {
    if (!candidate_.find(tap.name)) return;
    tap.format = golden_.format(tap.name);
    if (!stages[number]) stages[number].emplace(stage, tap.format, fixed);
    judge_tap(stages[number]->tally, stages[number]->doubts, tap,
              fixed ? std::function<const bounds::LegalValues&()>{} : legal);
  };
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t g = 0; g < golden_.shape().heads / group; ++g) {
      const std::size_t head = g * group;
      for (const int block : golden_.dq_tapped(b, head)) {
        if (!selected(b, head) || !selected_rows(b, head, block)) continue;
        for (const std::string_view label : kQueryLabels)
          require_same_label(cases::dq_tap_name(b, head, block, label));
        for (std::size_t n = 0; n < kQueries; ++n) {
          const QueryTapRow& row = kQueryTaps[n];
          TappedValues tap{.name = cases::dq_tap_name(b, head, block, row.name)};
          tap.at = {.batch = b, .head = head};
          tap.at.query_block = block;
          if (row.per_channel) tap.width = golden_.shape().channels;
          tap.last_turn_alone = any_order && row.per_channel;
          judge(n, row.stage, std::move(tap), row.values == nullptr || !free,
                [&, block]() -> const bounds::LegalValues& {
                  return legal_gradients(b, g).tapped_queries(block).*row.values;
                });
        }
      }
      // Sums over all query blocks of all heads of the group.
      const bool of_group = options_.select.head.value_or(head) / group == g;
      if (options_.select.batch.value_or(b) != b || !of_group || options_.select.block) continue;
      for (const int block : golden_.dkv_tapped(b, g)) {
        for (const std::string_view label : kKeyLabels)
          require_same_label(cases::dkv_tap_name(b, g, block, label));
        for (std::size_t n = 0; n < std::size(kKeyTaps); ++n) {
          const KeyTapRow& row = kKeyTaps[n];
          TappedValues tap{.name = cases::dkv_tap_name(b, g, block, row.name)};
          tap.at = {.batch = b, .head = head};
          tap.at.key_block = block;
          tap.width = golden_.shape().channels;
          judge(kQueries + n, row.stage, std::move(tap), !free,
                [&, block]() -> const bounds::LegalValues& {
                  return legal_gradients(b, g).tapped_keys(block).*row.values;
                });
        }
      }
    }
  std::vector<StageReport> reports;
  for (std::optional<GradientTapStage>& stage : stages) {
    if (!stage) continue;
    reports.push_back(stage->tally.report());
    reports.back().doubt(std::move(stage->doubts));
  }
  return reports;
}

}  // namespace karat::golden
