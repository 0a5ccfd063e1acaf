// The fit of the time model's constants: least absolute errors by reweighted Gauss-Newton steps,
// then small random steps towards the targets of all groups at once.
#pragma once

#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "accuracy.hpp"

namespace karat::hopper {

/// One clock for all boards of the H100's chip and power limit, and the constants marked "(fit)".
class Fit {
 public:
  /// @param without a source whose rows are left out
  Fit(const std::vector<MeasuredRow>& all, const std::string& without) : model(model_of(all)) {
    for (const MeasuredRow& row : all) {
      if (!row.has_plan || row.source == without) continue;
      rows_.push_back(&row);
      const std::string name = group_name(row);
      ++groups_[name].rows;
      groups_[name].target = row.splits_keys() ? kSplitTarget : target_of(row);
      names_.push_back(name);
    }
    free_.push_back({"clock_mhz of the H100, H200 and H800 SXM", &clock_});
    for (const TimingConstant& c : timing_constants()) {
      if (c.source.starts_with("(fit)"))
        free_.push_back({std::string(c.name), &(model.timing.*c.member)});
    }
    clock_ = model.boards.at("H100-SXM5").clock_mhz;
  }

  void run(int newton, int climbs) {
    for (int i = 0; i < newton; ++i) newton_step();
    climb(climbs);
    errors();
  }

  struct Free {
    std::string name;
    double* value;
  };
  const std::vector<Free>& values() const { return free_; }
  std::size_t rows() const { return rows_.size(); }

  Model model;

 private:
  static constexpr double kSplitTarget = 0.08;
  struct GroupWeight {
    int rows = 0;
    double target = 0.06;
  };

  static std::string group_name(const MeasuredRow& row) {
    if (has_factor(row))
      return row.board + (row.request.kernel == Kernel::flex ? ", flex" : ", thunderkittens");
    return row.group() + (row.splits_keys() ? ", split keys" : "");
  }

  /// ln(measured / predicted), after the factor of the kernels that have one.
  std::vector<double> errors() {
    for (const char* board : {"H100-SXM5", "H200", "H800-SXM"})
      if (model.boards.contains(board)) model.boards[board].clock_mhz = clock_;
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

  /// Mean errors of the groups in units of their targets; what lies beyond 0.995 counts forty
  /// times.
  double objective(const std::vector<double>& errors) {
    std::map<std::string, double> sums;
    for (std::size_t i = 0; i < errors.size(); ++i) sums[names_[i]] += std::abs(errors[i]);
    double total = 0;
    for (const auto& [name, sum] : sums) {
      const GroupWeight& g = groups_[name];
      const double share = sum / g.rows / g.target;
      total += weight(g) * share + 40 * std::max(0.0, share - 0.995);
    }
    return total;
  }
  static double weight(const GroupWeight& g) { return g.rows > 100 ? 4 : g.rows > 20 ? 0.3 : 1; }

  void newton_step() {
    const std::vector<double> now = errors();
    const double before = objective(now);
    const std::size_t n = free_.size();
    std::vector<std::vector<double>> slope(n);
    for (std::size_t k = 0; k < n; ++k) {
      const double value = *free_[k].value;
      *free_[k].value = value * 1.01;
      slope[k] = errors();
      *free_[k].value = value;
      for (std::size_t i = 0; i < now.size(); ++i)
        slope[k][i] = (now[i] - slope[k][i]) / std::log(1.01);
    }
    const std::vector<double> start = read();
    for (const double damping : {0.01, 0.1, 1.0, 10.0}) {
      std::vector<std::vector<double>> a(n, std::vector<double>(n + 1, 0.0));
      for (std::size_t i = 0; i < now.size(); ++i) {
        const GroupWeight& g = groups_[names_[i]];
        const double w = weight(g) / (g.rows * g.target) / std::max(std::abs(now[i]), 0.01);
        for (std::size_t j = 0; j < n; ++j) {
          a[j][n] += w * slope[j][i] * now[i];
          for (std::size_t k = 0; k < n; ++k) a[j][k] += w * slope[j][i] * slope[k][i];
        }
      }
      for (std::size_t j = 0; j < n; ++j) a[j][j] = a[j][j] * (1 + damping) + 0.1;
      eliminate(a);
      for (std::size_t j = 0; j < n; ++j)
        *free_[j].value = start[j] * std::exp(std::clamp(a[j][n] / a[j][j], -0.2, 0.2));
      if (objective(errors()) < before) return;
      write(start);
    }
  }

  /// Gauss-Jordan; the right-hand side is the last column.
  static void eliminate(std::vector<std::vector<double>>& a) {
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (std::size_t j = 0; j < a.size(); ++j) {
        if (i == j) continue;
        const double q = a[j][i] / a[i][i];
        for (std::size_t k = i; k < a[j].size(); ++k) a[j][k] -= q * a[i][k];
      }
    }
  }

  void climb(int tries) {
    std::mt19937 random(1);
    double best = objective(errors());
    for (int i = 0; i < tries; ++i) {
      const std::vector<double> start = read();
      const double size = i % 3 == 0 ? 0.05 : 0.015;
      for (int moved = 0; moved < 3; ++moved) {
        const double x = double(random()) / double(std::mt19937::max()) - 0.5;
        *free_[random() % free_.size()].value *= std::exp(2 * size * x);
      }
      const double now = objective(errors());
      if (now < best) {
        best = now;
      } else {
        write(start);
      }
    }
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
  double clock_ = 0;
};

}  // namespace karat::hopper
