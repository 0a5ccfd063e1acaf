#include "karat/ptx/request.hpp"

#include <limits>

namespace karat::ptx {
namespace {

namespace request = files::request;

constexpr numerics::Named<Fuse> kFuses[] = {{"none", Fuse::none}, {"ptxas", Fuse::ptxas}};

constexpr numerics::Named<Schedule> kSchedules[] = {
    {"eager", Schedule::eager}, {"late", Schedule::late}, {"random", Schedule::random}};

constexpr files::RequestField<RunRequest> kFields[] = {
    request::text<&RunRequest::launch>("launch", "the launch file, docs/run.md"),
    request::choice<&RunRequest::fuse, kFuses>(
        "fuse", "none, or ptxas: join mul and add as the assembler does (the launch file's)"),
    request::whole<&RunRequest::limit>(
        "limit", "warp instructions of a CTA before it counts as endless (4e9)", 1,
        std::numeric_limits<std::int64_t>::max()),
    request::flag<&RunRequest::hazards>(
        "hazards", "report races, missing proxy fences and waits in shared memory (exit 1)"),
    request::flag<&RunRequest::taps>("taps",
                                     "write the stages that the launch file's taps name too"),
    request::choice<&RunRequest::schedule, kSchedules>(
        "schedule", "when asynchronous work takes effect: eager, late, or random by --seed",
        "eager"),
    request::whole<&RunRequest::seed>("seed", "of --schedule random (0)", 0,
                                      std::numeric_limits<std::int64_t>::max()),
    request::whole<&RunRequest::threads>("threads", "0: all the machine has", 0, 1024)};

}  // namespace

Schedule schedule_named(std::string_view name, const std::string& subject) {
  return numerics::parse_choice(name, subject, kSchedules);
}

std::span<const files::RequestField<RunRequest>> run_fields() { return kFields; }

Launch launch_of(const RunRequest& asked) {
  Launch launch = read_launch(std::filesystem::path(asked.launch));
  if (asked.fuse) launch.fuse = *asked.fuse;
  if (asked.limit) launch.limit = static_cast<std::uint64_t>(*asked.limit);
  launch.threads = asked.threads;
  if (!asked.taps) launch.taps.clear();
  launch.schedule = asked.schedule;
  launch.seed = asked.seed;
  if (asked.hazards) launch.hazards = HazardSearch::on;
  return launch;
}

}  // namespace karat::ptx
