// The most likely clock, launch constant and factors behind a user's rows: Gauss-Newton on the
// logarithms, small normal equations.
#include "karat/hopper/calibration.hpp"

#include <algorithm>
#include <cmath>

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

constexpr double kNoise = 0.05, kClockSpread = 0.15, kLaunchSpread = 0.35, kFactorScale = 0.05;
constexpr double kFreedom =
    3;  ///< of Student's distribution of a row's noise: some rows lie far off
constexpr int kFitRounds = 40;

/// The model's answer to a row, in its two parts.
struct Prediction {
  double launch = 0, body = 0;  ///< us
  int group = 0;
  double measured = 0;
};

/// Logarithms: clock, launch, factors.
using Values = std::vector<double>;

double predicted(const Prediction& p, const Values& v) {
  return std::exp(v[2 + p.group]) * (p.launch * std::exp(v[1]) + p.body * std::exp(-v[0]));
}

/// Solves a x = b for a symmetric positive definite matrix, by Cholesky's method.
Values solve(std::vector<Values> a, Values b) {
  const std::size_t n = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = a[i][j];
      for (std::size_t k = 0; k < j; ++k) sum -= a[i][k] * a[j][k];
      a[i][j] = i == j ? std::sqrt(sum) : sum / a[j][j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  return b;
}

/// @param without a row that is not fitted
Values fit(const std::vector<Prediction>& rows, int groups, std::size_t without) {
  Values v(2 + groups, 0.0), weight(2 + groups, 0.0);
  weight[0] = 1 / (kClockSpread * kClockSpread), weight[1] = 1 / (kLaunchSpread * kLaunchSpread);
  for (int round = 0; round < kFitRounds; ++round) {
    // Cauchy's prior as a normal one that widens with the factor found so far.
    for (int g = 2; g < 2 + groups; ++g)
      weight[g] = 2 / (kFactorScale * kFactorScale + v[g] * v[g]);
    std::vector<Values> a(v.size(), Values(v.size(), 0.0));
    Values b(v.size(), 0.0);
    for (std::size_t i = 0; i < v.size(); ++i) a[i][i] = weight[i], b[i] = -weight[i] * v[i];
    for (std::size_t row = 0; row < rows.size(); ++row) {
      if (row == without) continue;
      const Prediction& p = rows[row];
      const double launch = p.launch * std::exp(v[1]), body = p.body * std::exp(-v[0]);
      const std::size_t at[] = {0, 1, std::size_t{2} + p.group};
      const double slope[] = {-body / (launch + body), launch / (launch + body), 1};
      const double rest = std::log(p.measured / predicted(p, v));
      // Student's noise as a normal one that widens with what is left so far.
      const double held = (kFreedom + 1) / (kFreedom * kNoise * kNoise + rest * rest);
      for (int i = 0; i < 3; ++i) {
        b[at[i]] += slope[i] * rest * held;
        for (int j = 0; j < 3; ++j) a[at[i]][at[j]] += slope[i] * slope[j] * held;
      }
    }
    const Values step = solve(std::move(a), std::move(b));
    for (std::size_t i = 0; i < v.size(); ++i) v[i] += step[i];
  }
  return v;
}

bool same(const GroupFactor& g, const Plan& plan, const Shape& shape) {
  return g.kernel == kernel_name(plan.kernel) && g.bytes == bytes_of(plan.qk) &&
         g.head_dim == shape.head_dim && g.causal == (shape.causality == Causality::causal);
}

}  // namespace

namespace {

/// A row further off than this is none of the model's: another unit, another kernel.
constexpr double kOtherUnit = 100;
/// Where half of the rows still lie further off than this, what was fitted is not their board.
constexpr double kOtherBoard = 1.6;

void require_likely(const Prediction& p, std::size_t row) {
  const double times = p.measured / (p.launch + p.body);
  if (times < kOtherUnit && times > 1 / kOtherUnit) return;
  throw Error(ErrorKind::usage, "row " + std::to_string(row + 1) + " of the measurements",
              "takes " + std::to_string(p.measured * 1e-3) + " ms, the model says " +
                  std::to_string((p.launch + p.body) * 1e-3),
              "give milliseconds, and the kernel that ran");
}

void require_followed(std::vector<double> errors, const Machine& machine) {
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  if (*middle <= std::log(kOtherBoard)) return;
  throw Error(ErrorKind::usage, "measurements",
              "lie a factor of " + std::to_string(std::exp(*middle)) + " from the " + machine.name +
                  " when its clock is fitted to them",
              "name the board that was measured (gpu), and give milliseconds");
}

}  // namespace

CalibrationReport calibrate(std::span<const Measurement> rows, const Machine& machine,
                            const Timing& timing) {
  if (rows.empty()) throw Error(ErrorKind::usage, "calibration", "has no rows", "measure some");
  CalibrationReport report;
  Calibration& out = report.calibration;
  Machine plain = machine;
  plain.calibration.reset();
  std::vector<Prediction> predictions;
  for (const Measurement& row : rows) {
    const Plan plan = make_plan(row.request, plain);
    const LaunchTime launch = launch_time(plain, timing, plan, row.shape, dense(plan, row.shape));
    const auto known = std::ranges::find_if(
        out.factors, [&](const GroupFactor& g) { return same(g, plan, row.shape); });
    const int group = static_cast<int>(known - out.factors.begin());
    if (known == out.factors.end())
      out.factors.push_back({.kernel = std::string(kernel_name(plan.kernel)),
                             .bytes = bytes_of(plan.qk),
                             .head_dim = row.shape.head_dim,
                             .causal = row.shape.causality == Causality::causal});
    ++out.factors[group].rows;
    predictions.push_back({.launch = launch.launch_us,
                           .body = launch.us - launch.launch_us,
                           .group = group,
                           .measured = row.ms * 1e3});
    require_likely(predictions.back(), predictions.size() - 1);
  }
  const int groups = static_cast<int>(out.factors.size());
  const Values all = fit(predictions, groups, predictions.size());
  out.clock = std::exp(all[0]), out.launch = std::exp(all[1]);
  for (int g = 0; g < groups; ++g) out.factors[g].factor = std::exp(all[2 + g]);
  double squares = 0;
  std::vector<double> errors;
  const auto count = static_cast<double>(predictions.size());
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    const Prediction& p = predictions[i];
    const auto error = [&](const Values& v) { return std::log(predicted(p, v) / p.measured); };
    const double left_out = error(fit(predictions, groups, i));
    report.before += std::abs(error(Values(all.size(), 0.0))) / count;
    errors.push_back(std::abs(error(all)));
    report.after += errors.back() / count;
    report.left_out += std::abs(left_out) / count;
    squares += left_out * left_out / count;
  }
  require_followed(std::move(errors), machine);
  // One row says nothing of its own spread.
  out.spread = std::max(std::sqrt(squares), kNoise);
  out.rows = static_cast<int>(rows.size());
  return report;
}

double calibrated_us(const Machine& machine, const Plan& plan, const Shape& shape,
                     const LaunchTime& launch) {
  if (!machine.calibration) return launch.us;
  const Calibration& c = *machine.calibration;
  double factor = 1;
  for (const GroupFactor& g : c.factors)
    if (plan.pass == Pass::forward && same(g, plan, shape)) factor = g.factor;
  return factor * (launch.launch_us * c.launch + (launch.us - launch.launch_us) / c.clock);
}

}  // namespace karat::hopper
