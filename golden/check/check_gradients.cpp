// dO, delta and the gradients: whole tensors, then tapped blocks. What legal exp2s move is judged
// by runs of legal kernels; everything else must be equal.
#include <algorithm>
#include <cmath>

#include "candidate_values.hpp"
#include "check_stage.hpp"
#include "error_gate.hpp"
#include "karat/case/stages.hpp"
#include "karat/numerics/base/error.hpp"
#include "tally.hpp"

namespace karat::golden {
namespace {

using Ran = LegalGradients;
using Query = attention::BackwardTap;
using Key = attention::KeyBlockTap;

/// A stage with rows per token, and where legal kernels have it.
struct GradientRow {
  StageRow stage;
  bool fixed;    ///< an input
  bool of_keys;  ///< rows are keys: one for each head of k and v
  std::span<const float> (*legal)(const Ran&, std::size_t head_of_group);
};
constexpr GradientRow kGradientRows[] = {
    {{"do", StageKind::matrix, ""}, true, false, nullptr},
    {{"o_unquantised_p", StageKind::matrix, ""},
     false,
     false,
     [](const Ran& l, std::size_t h) { return std::span<const float>(l.o_unquantised_p[h]); }},
    {{"delta", StageKind::vector, ""},
     false,
     false,
     [](const Ran& l, std::size_t h) { return std::span<const float>(l.made.delta[h]); }},
    {{"dv", StageKind::matrix, ""},
     false,
     true,
     [](const Ran& l, std::size_t) { return std::span<const float>(l.made.dv); }},
    {{"dk", StageKind::matrix, ""},
     false,
     true,
     [](const Ran& l, std::size_t) { return std::span<const float>(l.made.dk); }},
    {{"dq", StageKind::matrix, ""}, false, false, [](const Ran& l, std::size_t h) {
       return std::span<const float>(l.made.dq[h]);
     }}};

/// A stage of tapped query blocks.
struct QueryTapRow {
  std::string_view name, stage;
  bool fixed;
  bool per_channel;  ///< rows of channels; else of columns
  std::vector<float> Query::*values;
};
constexpr QueryTapRow kQueryTaps[] = {
    {"s", "backward s", true, false, &Query::s},
    {"p", "backward p", false, false, &Query::p},
    {"p_codes", "backward p_codes", false, false, &Query::p_operand},
    {"dp", "dp", true, false, &Query::dp},
    {"ds", "ds", false, false, &Query::ds},
    {"ds_codes", "ds_codes", false, false, &Query::ds_operand},
    {"dq", "dq by block", false, true, &Query::dq}};
struct KeyTapRow {
  std::string_view name, stage;
  std::vector<float> Key::*values;
};
constexpr KeyTapRow kKeyTaps[] = {{"dv", "dv by block", &Key::dv}, {"dk", "dk by block", &Key::dk}};

template <typename Tap>
const Tap& tap_of(const std::vector<Tap>& taps, int Tap::*number, int block) {
  return *std::ranges::find(taps, block, number);
}

/// Values of the tally that a legal kernel may have: everything, since the judgement is of rows.
struct Anything {
  explicit Anything(std::size_t count)
      : low(count, -std::numeric_limits<float>::infinity()),
        high(count, std::numeric_limits<float>::infinity()) {}
  std::vector<float> low, high;
};

}  // namespace

/// One stage on its way: its tally, and the verdicts of its heads or blocks.
struct Comparison::GradientStage {
  GradientStage(std::string name, numerics::FormatId format, bool is_fixed)
      : tally(std::move(name), format, is_fixed), fixed(is_fixed) {}

  Tally tally;
  bool fixed;
  bool far = false;
  std::vector<Doubt> doubts;

  StageReport report() {
    StageReport made = tally.report();
    if (far) {  // no legal kernel does this
      made.outside = made.differing;
      made.verdict = Verdict::differs;
    }
    made.doubt(std::move(doubts));
    return made;
  }
};

GradientSpread& Comparison::gradient_spread(std::size_t b, std::size_t kv_head) {
  return gradient_spreads_
      .try_emplace({b, kv_head}, golden_, b, kv_head, freedom_, options_.threads,
                   [this] { step(); })
      .first->second;
}

void Comparison::judge_gradient(GradientStage& stage, const GradientRows& rows, std::size_t b,
                                std::size_t kv_head, const Locate& locate) {
  const std::int64_t before = stage.tally.differing(), outside = stage.tally.outside();
  const Anything any(rows.candidate.size());
  stage.tally.add(rows.golden, rows.candidate,
                  [&] {
                    return stage.fixed ? golden::Legal{} : golden::Legal{any.low, any.high};
                  },
                  locate, {});
  if (stage.fixed || stage.tally.differing() == before || stage.tally.outside() > outside) return;
  const GradientVerdict verdict = gradient_spread(b, kv_head).judge(rows);
  if (verdict.verdict == Verdict::within) return;
  if (verdict.verdict == Verdict::differs) stage.far = true;
  Doubt doubt{.reason = Doubt::Reason::spread,
              .scope = verdict.scope,
              .at = locate(verdict.row * rows.width + verdict.column),
              .found = verdict.found,
              .allowed = verdict.allowed};
  if (verdict.scope == Doubt::Scope::head)
    doubt.at = {.batch = doubt.at.batch, .head = doubt.at.head};
  if (verdict.scope == Doubt::Scope::row) doubt.at.channel.reset();
  stage.doubts.push_back(doubt);
}

/// Squared distances from the truth of the rows whose FP64 gradients the file holds.
void Comparison::note_gradient(GradientStage& stage, const StageRow& row, std::size_t b,
                               std::size_t h, std::span<const float> golden,
                               std::span<const float> candidate, bool differs,
                               const std::function<std::span<const float>(const Ran&)>& legal) {
  const auto truth_name = golden_.source().find("truth.sparse_" + std::string(row.name));
  const auto rows_name = golden_.source().find("truth.gradient_rows");
  if (!truth_name || !rows_name) return;
  const std::size_t heads =
      golden_.source()
          .head_shape(*truth_name, cases::Extents::matrix, cases::TensorLayout::bhsd)
          .heads;
  const files::Tensor tokens = golden_.source().read(*rows_name);
  const files::Tensor truth =
      golden_.source().head(*truth_name, cases::Extents::matrix, cases::TensorLayout::bhsd, b,
                            h * heads / golden_.shape().heads);
  const std::size_t d = golden_.shape().channels;
  GradientError& errors = gradient_errors_[std::string(row.name)];
  errors.stage = row.name;
  const auto exact_of = [&](std::size_t r) { return truth.as<double>().subspan(r * d, d); };
  std::vector<TruthRow> known;
  std::size_t r = 0;
  for (const std::int32_t token : tokens.as<std::int32_t>()) {
    const std::span<const double> exact = exact_of(r++);
    const auto of = [&](std::span<const float> values) { return values.subspan(token * d, d); };
    const auto found = truth_row(token, exact, of(golden), of(candidate));
    if (!found) continue;
    known.push_back(*found);
    errors.add(exact, of(golden), of(candidate));
  }
  if (!differs || stage.fixed || known.empty()) return;
  const double reach = gradient_spread(b, h / golden_.group()).error_reach([&](const Ran* kernel) {
    double sum = 0;
    std::size_t at = 0;
    for (const std::int32_t token : tokens.as<std::int32_t>()) {
      const auto exact = exact_of(at++);
      const auto values = (kernel ? legal(*kernel) : golden).subspan(token * d, d);
      for (std::size_t j = 0; j < d; ++j) sum += (values[j] - exact[j]) * (values[j] - exact[j]);
    }
    return sum;
  });
  auto doubt = beyond(allowed_ratio(options_.error_ratio, reach), golden_.layout(b, h),
                      golden_.format(row.name), known);
  if (!doubt) return;
  doubt->at.batch = b;
  doubt->at.head = h;
  if (side_of(row.name) == Side::key) doubt->at.query_block.reset();
  stage.doubts.push_back(*doubt);
}

StageReport Comparison::gradient(std::string_view name) {
  const GradientRow& row = *std::ranges::find_if(
      kGradientRows, [&](const GradientRow& each) { return each.stage.name == name; });
  require_shape(row.stage);
  GradientStage stage(
      std::string(name), golden_.format(name),
      row.fixed || !GradientSpread::frees(golden_, freedom_, name == std::string_view("dq")));
  const std::size_t channels = row.stage.kind == StageKind::matrix ? golden_.shape().channels : 1;
  const std::size_t group = golden_.group();
  for (std::size_t b = 0; b < golden_.shape().batch; ++b)
    for (std::size_t h = 0; h < golden_.shape().heads; ++h) {
      if (!selected(b, h)) continue;
      step();
      ++done_;
      if (row.of_keys && !options_.select.head && h % group != 0) continue;
      const std::vector<float> golden = golden_.values(name, extents_of(row.stage.kind), b, h);
      const std::vector<float> candidate = candidate_rows(row.stage, b, h);
      const auto locate = [&](std::size_t i) {
        Location at{.batch = b, .head = h};
        if (channels > 1) at.channel = static_cast<std::int64_t>(i % channels);
        const auto token = static_cast<std::int64_t>(i / channels);
        if (!row.of_keys) return at_token(at, token);
        at.token = token;
        return at;
      };
      const auto legal = [&](const Ran& kernel) { return row.legal(kernel, h % group); };
      const std::int64_t before = stage.tally.differing();
      judge_gradient(stage,
                     {.format = golden_.format(name),
                      .width = channels,
                      .golden = golden,
                      .candidate = candidate,
                      .legal = legal,
                      .is_dq = name == std::string_view("dq")},
                     b, h / group, locate);
      note_gradient(stage, row.stage, b, h, golden, candidate, stage.tally.differing() > before,
                    legal);
    }
  return stage.report();
}

std::vector<StageReport> Comparison::gradient_taps() {
  std::vector<StageReport> reports;
  const auto values_of = [&](const std::string& name, numerics::FormatId format,
                             std::size_t expected) {
    const std::string held = *candidate_.find(name);
    const std::string subject = candidate_.subject() + ": " + held;
    std::vector<float> values = candidate_values(candidate_.read(held), format, subject);
    if (values.size() == expected) return values;
    throw Error(ErrorKind::usage, subject,
                std::to_string(values.size()) + " values where the golden file has " +
                    std::to_string(expected),
                "compare the same case");
  };
  const auto golden_of = [&](const std::string& name, numerics::FormatId format) {
    return candidate_values(golden_.source().read(*golden_.source().find(name)), format, name);
  };
  const std::size_t group = golden_.group();
  const auto over_blocks = [&](std::string_view stage_name, std::string_view dataset, bool of_keys,
                               bool fixed, std::size_t width_or_columns, bool is_dq,
                               const auto& legal) {
    std::optional<GradientStage> stage;
    for (std::size_t b = 0; b < golden_.shape().batch; ++b)
      for (std::size_t g = 0; g < golden_.shape().heads / group; ++g) {
        const std::size_t head = g * group;
        if (!selected(b, head)) continue;
        for (const int block : of_keys ? golden_.dkv_tapped(b, g) : golden_.dq_tapped(b, head)) {
          const std::string name = of_keys ? cases::dkv_tap_name(b, g, block, dataset)
                                           : cases::dq_tap_name(b, head, block, dataset);
          if (!candidate_.find(name)) continue;
          const numerics::FormatId format = golden_.format(name);
          if (!stage) stage.emplace(std::string(stage_name), format, fixed);
          const std::vector<float> golden = golden_of(name, format);
          const std::vector<float> candidate = values_of(name, format, golden.size());
          const files::Shape shape = golden_.source().info(*golden_.source().find(name)).shape;
          const std::size_t width = width_or_columns > 0 ? width_or_columns : shape.back();
          const auto locate = [&](std::size_t i) {
            Location at{.batch = b, .head = head};
            if (width_or_columns > 0) at.channel = static_cast<std::int64_t>(i % width);
            (of_keys ? at.key_block : at.query_block) = block;
            return at;
          };
          if (golden.empty()) continue;
          // In a free order only the last turn holds the same key blocks in every kernel.
          const std::size_t skipped =
              is_dq && GradientSpread::frees_order(golden_, freedom_)
                  ? golden.size() - golden.size() / static_cast<std::size_t>(shape.front())
                  : 0;
          judge_gradient(
              *stage,
              {.format = format,
               .width = width,
               .golden = std::span(golden).subspan(skipped),
               .candidate = std::span(candidate).subspan(skipped),
               .legal = [&](const Ran& kernel) { return legal(kernel, block).subspan(skipped); },
               .is_dq = is_dq},
              b, g, locate);
        }
      }
    if (stage) reports.push_back(stage->report());
  };
  for (const QueryTapRow& row : kQueryTaps) {
    const bool is_dq = row.name == std::string_view("dq");
    over_blocks(
        row.stage, row.name, false, row.fixed || !GradientSpread::frees(golden_, freedom_, is_dq),
        row.per_channel ? golden_.shape().channels : 0, is_dq, [&](const Ran& kernel, int block) {
          return std::span<const float>(tap_of(kernel.made.query_taps, &Query::query_block, block).*
                                        row.values);
        });
  }
  for (const KeyTapRow& row : kKeyTaps)
    over_blocks(row.stage, row.name, true, !GradientSpread::frees(golden_, freedom_, false),
                golden_.shape().channels, false, [&](const Ran& kernel, int block) {
                  return std::span<const float>(
                      tap_of(kernel.made.key_taps, &Key::key_block, block).*row.values);
                });
  return reports;
}

double GradientError::Side::cosine(double truth) const {
  return squared > 0 && truth > 0 ? product / std::sqrt(squared * truth) : 0;
}

void GradientError::add(std::span<const double> exact, std::span<const float> of_golden,
                        std::span<const float> of_candidate) {
  ++rows;
  for (std::size_t j = 0; j < exact.size(); ++j) {
    truth += exact[j] * exact[j];
    for (const auto& [side, value] :
         {std::pair{&golden, of_golden[j]}, std::pair{&candidate, of_candidate[j]}}) {
      const double x = value;
      side->squared += x * x;
      side->error += (x - exact[j]) * (x - exact[j]);
      side->product += x * exact[j];
    }
  }
}

std::vector<std::string_view> gradient_stages() {
  std::vector<std::string_view> names;
  for (const GradientRow& row : kGradientRows) names.push_back(row.stage.name);
  return names;
}

}  // namespace karat::golden
