// Gradients against FP64 over the rows whose truth the golden file holds.
#include <cmath>

#include "check_stage.hpp"
#include "error_gate.hpp"

namespace karat::golden {

namespace {

/// What the stored gradient was multiplied by before its cast.
double multiplier_of(const recipe::Backward& backward, GradientStageId stage) {
  switch (stage) {
    case GradientStageId::dq:
      return backward.dq_multiplier;
    case GradientStageId::dk:
      return backward.dk_multiplier;
    case GradientStageId::dv:
      return backward.dv_multiplier;
    case GradientStageId::d_o:
    case GradientStageId::o_unquantised_p:
    case GradientStageId::delta:
      break;
  }
  return 1;
}

}  // namespace

/// Squared distances from the truth of the rows whose FP64 gradients the file holds, in the units
/// of what is stored.
std::optional<Doubt> Comparison::note_gradient(std::string_view name, std::size_t b, std::size_t h,
                                               const GradientRows& rows, bool judged,
                                               const std::function<bool(std::size_t)>& skip) {
  const auto truth_name = golden_.source().find("truth.sparse_" + std::string(name));
  const auto rows_name = golden_.source().find("truth.gradient_rows");
  if (!truth_name || !rows_name) return std::nullopt;
  const std::size_t heads =
      golden_.source()
          .head_shape(*truth_name, cases::Extents::matrix, cases::TensorLayout::bhsd)
          .heads;
  const files::Tensor tokens = golden_.source().read(*rows_name);
  const files::Tensor truth =
      golden_.source().head(*truth_name, cases::Extents::matrix, cases::TensorLayout::bhsd, b,
                            h * heads / golden_.shape().heads);
  const auto stored = truth.as<double>();
  std::vector<double> times_multiplier(stored.begin(), stored.end());
  for (double& x : times_multiplier) x *= multiplier_of(golden_.recipe().backward, rows.stage);
  const std::span<const double> all(times_multiplier);
  const std::size_t d = golden_.shape().channels;
  GradientError& errors = gradient_errors_[std::string(name)];
  errors.stage = name;
  std::vector<TruthRow> known;
  std::map<std::size_t, std::span<const double>> truth_of;
  std::size_t r = 0;
  for (const std::int32_t token : tokens.as<std::int32_t>()) {
    const std::span<const double> exact = all.subspan(r++ * d, d);
    const auto of = [&](std::span<const float> values) { return values.subspan(token * d, d); };
    const auto found = truth_row(token, exact, of(rows.golden), of(rows.candidate));
    if (!found || (skip && skip(token * d))) continue;
    known.push_back(*found);
    truth_of[token] = exact;
    errors.add(exact, of(rows.golden), of(rows.candidate));
  }
  if (!judged || known.empty()) return std::nullopt;
  LegalGradients& legal = legal_gradients(b, h / golden_.group());
  const double reach = legal.error_reach(rows, [&](std::size_t token) {
    const auto found = truth_of.find(token);
    return found == truth_of.end() ? std::span<const double>{} : found->second;
  });
  const Side side = side_of(rows.stage);
  const layout::Layout& layout = golden_.layout(b, h);
  auto doubt =
      beyond(allowed_ratio(options_.error_ratio, reach),
             {.order = side == Side::key ? layout.key_order : layout.order,
              .blocks = side == Side::key ? legal.blocks().key_blocks : legal.blocks().query_blocks,
              .side = side},
             rows.format, known);
  if (!doubt) return std::nullopt;
  doubt->at.batch = b;
  doubt->at.head = h;
  return doubt;
}

double GradientError::Side::cosine(double of_truth) const {
  return squared > 0 && of_truth > 0 ? product / std::sqrt(squared * of_truth) : 0;
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

std::vector<GradientError> Comparison::gradient_errors() const {
  std::vector<GradientError> errors;
  for (const char* stage : {"dq", "dk", "dv"})
    if (const auto found = gradient_errors_.find(stage); found != gradient_errors_.end())
      errors.push_back(found->second);
  return errors;
}

}  // namespace karat::golden
