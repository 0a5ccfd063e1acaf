// The fit of the time model's constants: most likely values under the priors of priors.hpp by
// reweighted Gauss-Newton steps, then small random steps towards the targets of all groups at once.
#pragma once

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "accuracy.hpp"
#include "priors.hpp"

namespace karat::hopper {

/// One clock for all boards of the H100's chip and power limit, and the constants marked "(fit)".
class Fit {
 public:
  struct Free {
    const Prior* prior;
    double* value;
  };
  /// Where a fit begins: at its priors, or at the values that the library holds.
  enum class Start { priors, printed };
  enum class Goal { likely, targets };

  /// @param without a source whose rows are left out
  Fit(const std::vector<MeasuredRow>& all, const std::string& without, Start start)
      : model(model_of(all)), clock_(model.boards.at("H100-SXM5").clock_mhz) {
    for (const MeasuredRow& row : all) {
      if (!row.has_plan || row.source == without) continue;
      rows_.push_back(&row);
      const std::string name = group_name(row);
      ++groups_[name].rows;
      groups_[name].target = row.splits_keys() ? kSplitTarget : target_of(row);
      names_.push_back(name);
    }
    for (const Prior& prior : kPriors) free_.push_back({&prior, member(prior.name)});
    if (start == Start::priors)
      for (const Free& f : free_) *f.value = f.prior->value;
  }

  void newton(int steps) {
    for (int i = 0; i < steps; ++i)
      if (!newton_step()) break;
    errors();
  }

  /// Small random steps, each kept where it helps.
  void climb(int tries) {
    std::mt19937 random(1);
    double best = objective(errors(), Goal::targets);
    for (int i = 0; i < tries; ++i) {
      const std::vector<double> start = read();
      const double size = i % 3 == 0 ? 0.05 : 0.015;
      for (int moved = 0; moved < 3; ++moved) {
        const double x = double(random()) / double(std::mt19937::max()) - 0.5;
        *free_[random() % free_.size()].value *= std::exp(2 * size * x);
      }
      const double now = objective(errors(), Goal::targets);
      if (now < best) {
        best = now;
      } else {
        write(start);
      }
    }
    errors();
  }

  /// How well the rows hold the constants together.
  struct Held {
    std::vector<double> spread;                   ///< of every constant, after the rows
    std::vector<std::vector<double>> covariance;  ///< of the constants' logarithms
  };
  Held held() {
    const Normal equations = normal_equations(errors());
    Held out{.covariance = inverse(equations.curvature)};
    for (std::size_t i = 0; i < free_.size(); ++i)
      out.spread.push_back(std::sqrt(out.covariance[i][i]));
    return out;
  }

  /// d ln(time) / d ln(constant) of a row, for every constant.
  std::vector<double> slopes(const MeasuredRow& row) {
    const auto time = [&] {
      set_clock();
      return predicted_us(row, model.boards.at(row.board), model.timing);
    };
    const double before = time();
    std::vector<double> out;
    for (const Free& f : free_) {
      const double value = *f.value;
      *f.value = value * kStep;
      out.push_back(std::log(time() / before) / std::log(kStep));
      *f.value = value;
    }
    set_clock();
    return out;
  }

  const std::vector<Free>& values() const { return free_; }
  std::size_t rows() const { return rows_.size(); }

  Model model;

 private:
  static constexpr double kSplitTarget = 0.08;
  static constexpr double kStep = 1.01;
  struct GroupWeight {
    int rows = 0;
    double target = 0.06;
  };
  struct Normal {
    std::vector<std::vector<double>> curvature;
    std::vector<double> pull;
  };

  double* member(std::string_view name) {
    if (name == kClock) return &clock_;
    for (const TimingConstant& c : timing_constants())
      if (c.name == name) return &(model.timing.*c.member);
    throw Error(ErrorKind::internal, std::string(name), "is no constant", "correct priors.hpp");
  }

  void set_clock() {
    for (const char* board : {"H100-SXM5", "H200", "H800-SXM"})
      if (model.boards.contains(board)) model.boards[board].clock_mhz = clock_;
  }

  /// ln(measured / predicted), after the factor of the kernels that have one.
  std::vector<double> errors() {
    set_clock();
    std::vector<double> out(rows_.size());
    std::map<std::string, double> sums;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const MeasuredRow& row = *rows_[i];
      out[i] = std::log(row.us / predicted_us(row, model.boards.at(row.board), model.timing));
      if (has_factor(row)) sums[names_[i]] += out[i];
    }
    for (std::size_t i = 0; i < rows_.size(); ++i)
      if (has_factor(*rows_[i])) out[i] -= sums[names_[i]] / groups_[names_[i]].rows;
    return out;
  }

  /// Mean errors of the groups in units of their targets, and the distance from the priors. Towards
  /// the targets, what lies beyond 0.995 of one counts forty times.
  double objective(const std::vector<double>& errors, Goal goal) {
    std::map<std::string, double> sums;
    for (std::size_t i = 0; i < errors.size(); ++i) sums[names_[i]] += std::abs(errors[i]);
    double total = 0;
    for (const auto& [name, sum] : sums) {
      const GroupWeight& g = groups_[name];
      const double share = sum / g.rows / g.target;
      total += weight(g) * share;
      if (goal == Goal::targets) total += 160 * std::max(0.0, share - 0.995);
    }
    for (const Free& f : free_) {
      const double off = std::log(*f.value / f.prior->value) / f.prior->spread;
      total += off * off / 2;
    }
    return total;
  }
  /// Independent rows that a group is worth: those of one campaign share its board and its day.
  static double weight(const GroupWeight& g) { return 2 * std::sqrt(double(g.rows)); }

  Normal normal_equations(const std::vector<double>& now) {
    const std::size_t n = free_.size();
    std::vector<std::vector<double>> slope(n);
    for (std::size_t k = 0; k < n; ++k) {
      const double value = *free_[k].value;
      *free_[k].value = value * kStep;
      slope[k] = errors();
      *free_[k].value = value;
      for (std::size_t i = 0; i < now.size(); ++i)
        slope[k][i] = (now[i] - slope[k][i]) / std::log(kStep);
    }
    Normal out{.curvature = std::vector(n, std::vector<double>(n, 0.0)),
               .pull = std::vector<double>(n, 0.0)};
    for (std::size_t i = 0; i < now.size(); ++i) {
      const GroupWeight& g = groups_[names_[i]];
      const double w = weight(g) / (g.rows * g.target) / std::max(std::abs(now[i]), 0.01);
      for (std::size_t j = 0; j < n; ++j) {
        out.pull[j] += w * slope[j][i] * now[i];
        for (std::size_t k = 0; k < n; ++k) out.curvature[j][k] += w * slope[j][i] * slope[k][i];
      }
    }
    for (std::size_t j = 0; j < n; ++j) {
      const Prior& prior = *free_[j].prior;
      const double weight = 1 / (prior.spread * prior.spread);
      out.curvature[j][j] += weight;
      out.pull[j] -= weight * std::log(*free_[j].value / prior.value);
    }
    return out;
  }

  /// @return whether it helped
  bool newton_step() {
    const std::vector<double> now = errors();
    const double before = objective(now, Goal::likely);
    const Normal equations = normal_equations(now);
    const std::vector<double> start = read();
    for (const double damping : {0.0, 0.1, 1.0, 10.0}) {
      auto damped = equations.curvature;
      for (std::size_t j = 0; j < damped.size(); ++j) damped[j][j] *= 1 + damping;
      const auto solver = inverse(damped);
      for (std::size_t j = 0; j < damped.size(); ++j) {
        double step = 0;
        for (std::size_t k = 0; k < damped.size(); ++k) step += solver[j][k] * equations.pull[k];
        *free_[j].value = start[j] * std::exp(std::clamp(step, -0.3, 0.3));
      }
      if (objective(errors(), Goal::likely) < before * (1 - 1e-4)) return true;
      write(start);
    }
    return false;
  }

  /// Of a symmetric positive definite matrix, by Gauss-Jordan.
  static std::vector<std::vector<double>> inverse(std::vector<std::vector<double>> a) {
    const std::size_t n = a.size();
    std::vector out(n, std::vector<double>(n, 0.0));
    for (std::size_t i = 0; i < n; ++i) out[i][i] = 1;
    for (std::size_t i = 0; i < n; ++i) {
      const double pivot = a[i][i];
      for (std::size_t k = 0; k < n; ++k) a[i][k] /= pivot, out[i][k] /= pivot;
      for (std::size_t j = 0; j < n; ++j) {
        if (j == i) continue;
        const double q = a[j][i];
        for (std::size_t k = 0; k < n; ++k) a[j][k] -= q * a[i][k], out[j][k] -= q * out[i][k];
      }
    }
    return out;
  }

  std::vector<double> read() const {
    std::vector<double> out;
    for (const Free& f : free_) out.push_back(*f.value);
    return out;
  }
  void write(const std::vector<double>& values) {
    for (std::size_t i = 0; i < free_.size(); ++i) *free_[i].value = values[i];
  }

  std::vector<const MeasuredRow*> rows_;
  std::vector<std::string> names_;
  std::map<std::string, GroupWeight> groups_;
  std::vector<Free> free_;
  double clock_;
};

}  // namespace karat::hopper
