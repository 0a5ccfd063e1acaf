// What became of a plan so far.
#pragma once

#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/report/text.hpp"
#include "karat/sweep/claims.hpp"
#include "karat/sweep/runner.hpp"

namespace karat::sweep {

struct Status {
  std::string name;
  Kind kind = Kind::trial;
  std::size_t shards = 0, done = 0;
  std::vector<ClaimEntry> running;  ///< silent ones too
  std::vector<Failure> failed;
  double lease = 0;
  double core_seconds_done = 0, core_seconds_left = 0;  ///< estimates of the plan
  double worked = 0;  ///< seconds that runners took for what is done
  double rate = 0;    ///< shards a second between the first and the last that was finished
  double left = 0;    ///< seconds, with the runners that give signs of life now; 0: nobody knows
  std::vector<std::string> hosts;  ///< that finished something

  std::size_t open() const;  ///< neither done, failed nor held by a runner that lives
  bool complete() const { return done == shards && failed.empty(); }
  bool is_silent(const ClaimEntry& claim) const { return claim.age > lease; }
};

Status status_of(const Plan& plan);

/// Lines for a terminal; names of shards come from the plan.
std::string to_text(const Status& status, const Plan& plan,
                    report::Painter painted = report::unpainted);
/// The fields of docs/json.md, "karat.sweep_status".
files::Json to_json(const Status& status, const Plan& plan);
/// "karat.sweep_plan": totals of a plan.
files::Json to_json(const Plan& plan);
std::string to_text(const Plan& plan);
/// "karat.sweep_run"
files::Json to_json(const RunReport& report, const Plan& plan);
std::string to_text(const RunReport& report, const Plan& plan);

}  // namespace karat::sweep
