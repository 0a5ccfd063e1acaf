// The record of a failed shard: one JSON file, written and read.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "karat/files/atomic_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/sweep/runner.hpp"
#include "publisher.hpp"

namespace karat::sweep {

namespace fs = std::filesystem;

void write_failure(const Plan& plan, const Failure& failure) {
  files::write_file(plan.failure(failure.shard),
                    files::format_json({{"shard", failure.shard},
                                        {"name", plan.name(failure.shard)},
                                        {"reason", failure.reason},
                                        {"runner", failure.runner},
                                        {"host", failure.host}}));
}

std::vector<Failure> list_failures(const Plan& plan) {
  std::vector<Failure> failures;
  for (const fs::path& path : files::files_in(plan.inside("failed"), ".json")) {
    if (path.filename().string().starts_with(".")) continue;
    try {
      const files::Json json = files::Json::parse(files::read_text(path));
      if (!json.at("shard").is_number_unsigned() || json.at("shard") >= plan.size() ||
          plan.failure(json.at("shard")).filename() != path.filename())
        throw Error(ErrorKind::input_output, files::shown(path), "is of no shard of this plan",
                    "remove it");
      failures.push_back({.shard = json.at("shard"),
                          .reason = json.at("reason"),
                          .runner = json.at("runner"),
                          .host = json.at("host")});
    } catch (const files::Json::exception&) {
      throw Error(ErrorKind::input_output, files::shown(path), "is damaged",
                  "remove it: the shard is computed again");
    }
  }
  std::ranges::sort(failures, {}, &Failure::shard);
  return failures;
}

}  // namespace karat::sweep
