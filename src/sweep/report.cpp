// Plans, runs and states in words and as JSON.
#include <nlohmann/json.hpp>

#include "karat/sweep/status.hpp"

namespace karat::sweep {
namespace {

using report::print;
using report::short_number;
using report::short_time;

constexpr std::size_t kListed = 20;  // failures and claims on a terminal; JSON has them all

std::string bar(double share) {
  constexpr std::size_t kWidth = 40;
  const auto full = static_cast<std::size_t>(share * kWidth);
  return "[" + std::string(full, '=') + std::string(kWidth - full, ' ') + "]";
}

template <typename List, typename Line>
std::string listed(const List& list, Line line) {
  std::string text;
  for (std::size_t i = 0; i < std::min(list.size(), kListed); ++i) text += line(list[i]);
  if (list.size() > kListed)
    text += print("  ... and %zu more (--json lists all)\n", list.size() - kListed);
  return text;
}

}  // namespace

std::string to_text(const Plan& plan) {
  const PlanTotals& totals = plan.totals();
  return plan.spec().name + ": " + std::to_string(totals.shards) + " shards of kind " +
         std::string(to_string(plan.spec().kind)) + ", " + short_number(totals.cost.multiply_adds) +
         "MAC, about " + short_time(totals.cost.seconds) + " of one core, " +
         short_number(totals.cost.bytes) + "B\n";
}

files::Json to_json(const Plan& plan) {
  const PlanTotals& totals = plan.totals();
  return {{"plan", plan.folder().string()},
          {"name", plan.spec().name},
          {"kind", to_string(plan.spec().kind)},
          {"shards", totals.shards},
          {"multiply_adds", totals.cost.multiply_adds},
          {"core_seconds", totals.cost.seconds},
          {"bytes", totals.cost.bytes}};
}

std::string to_text(const RunReport& report, const Plan& plan) {
  std::string text = print("%zu made, %zu found done, %zu failed", report.made, report.found,
                           report.failed.size());
  if (report.taken > 0) text += print(", %zu taken over", report.taken);
  if (report.repeated > 0) text += print(", %zu made twice", report.repeated);
  if (report.held > 0) text += print(", %zu left to other runners", report.held);
  text += " in " + short_time(report.seconds) + "\n";
  return text + listed(report.failed, [&](const FailedShard& failed) {
           return "  failed: " + std::string(plan.name(failed.shard)) + ": " + failed.reason + "\n";
         });
}

files::Json to_json(const RunReport& report, const Plan& plan) {
  files::Json failed = files::Json::array();
  for (const FailedShard& each : report.failed)
    failed.push_back({{"shard", plan.name(each.shard)}, {"reason", each.reason}});
  return {{"plan", plan.folder().string()},
          {"made", report.made},
          {"found", report.found},
          {"repeated", report.repeated},
          {"taken_over", report.taken},
          {"held", report.held},
          {"failed", failed},
          {"seconds", report.seconds}};
}

std::string to_text(const Status& status, const Plan& plan, report::Painter painted) {
  const double share = status.shards == 0
                           ? 1
                           : static_cast<double>(status.done) / static_cast<double>(status.shards);
  std::string text = status.name + " " + bar(share) + print(" %.0f %%\n", 100 * share);
  text += print("%zu of %zu shards done, %zu running, %zu failed, %zu open\n", status.done,
                status.shards, status.running.size(), status.failed.size(), status.open());
  if (status.rate > 0)
    text += short_number(status.rate) + "shards/s on " + std::to_string(status.hosts.size()) +
            (status.hosts.size() == 1 ? " host" : " hosts");
  if (status.rate > 0 && status.left > 0) text += ", about " + short_time(status.left) + " left";
  if (status.rate > 0) text += "\n";
  text += listed(status.running, [&](const ClaimEntry& claim) {
    const std::string line =
        "  running: " + std::string(plan.name(claim.shard)) + " on " + claim.host;
    return status.is_silent(claim)
               ? line +
                     painted(" silent for " + short_time(claim.age) + ", will be taken over",
                             report::Tone::unsure) +
                     "\n"
               : line + "\n";
  });
  return text + listed(status.failed, [&](const Failure& failure) {
           return painted("  failed: ", report::Tone::bad) + std::string(plan.name(failure.shard)) +
                  " on " + failure.host + ": " + failure.reason + "\n";
         });
}

files::Json to_json(const Status& status, const Plan& plan) {
  files::Json running = files::Json::array(), failed = files::Json::array();
  for (const ClaimEntry& claim : status.running)
    running.push_back({{"shard", plan.name(claim.shard)},
                       {"runner", claim.runner},
                       {"host", claim.host},
                       {"age", claim.age},
                       {"silent", status.is_silent(claim)}});
  for (const Failure& failure : status.failed)
    failed.push_back({{"shard", plan.name(failure.shard)},
                      {"reason", failure.reason},
                      {"runner", failure.runner},
                      {"host", failure.host}});
  return {{"plan", plan.folder().string()},
          {"name", status.name},
          {"kind", to_string(status.kind)},
          {"shards", status.shards},
          {"done", status.done},
          {"open", status.open()},
          {"complete", status.complete()},
          {"rate", status.rate},
          {"seconds_left", status.left > 0 ? files::Json(status.left) : files::Json(nullptr)},
          {"seconds_worked", status.worked},
          {"hosts", status.hosts},
          {"running", running},
          {"failed", failed}};
}

}  // namespace karat::sweep
