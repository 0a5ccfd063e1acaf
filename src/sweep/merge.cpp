// Results in the order of shards; what happened on the way goes to the manifest.
#include "karat/sweep/merge.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "karat/files/atomic_file.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/sweep/log.hpp"
#include "karat/sweep/runner.hpp"
#include "karat/sweep/study_sweep.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;
using files::Json;

enum class State { done, failed, open };

/// What is known of one shard.
struct Row {
  State state = State::open;
  std::string reason;  ///< of a failure
  std::string sha256;  ///< of the result that is merged
  std::vector<LogEntry> runs;
};

[[noreturn]] void refuse(const Plan& plan, std::size_t shard, const std::string& problem) {
  throw Error(ErrorKind::input_output, plan.result(shard).string(), problem,
              "put it back, karat sweep retry PLAN --only " + std::string(plan.name(shard)) +
                  ", and run the plan again");
}

std::vector<Row> rows_of(const Plan& plan) {
  std::vector<Row> rows(plan.size());
  const auto done = plan.done();
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (done[i]) rows[i].state = State::done;
  for (const Failure& failure : list_failures(plan)) {
    rows[failure.shard].state = State::failed;
    rows[failure.shard].reason = failure.reason;
  }
  for (LogEntry& entry : read_logs(plan.folder()))
    if (entry.shard < rows.size()) rows[entry.shard].runs.push_back(std::move(entry));
  return rows;
}

/// The hash of what is merged must be the one that more of its runs logged than any other.
void settle(const Plan& plan, std::size_t shard, Row& row, std::string sha256) {
  row.sha256 = std::move(sha256);
  if (row.runs.empty()) return;
  const std::string agreed = agreed_sha256(row.runs);
  if (agreed.empty()) refuse(plan, shard, "was computed to different bytes by different runs");
  if (agreed != row.sha256)
    refuse(plan, shard,
           "is not what its runner on " +
               std::ranges::find(row.runs, agreed, &LogEntry::sha256)->host + " made");
}

std::string read_result(const Plan& plan, std::size_t shard, Row& row) {
  std::string text = files::read_text(plan.result(shard));
  settle(plan, shard, row, files::sha256_hex(std::as_bytes(std::span(text))));
  return text;
}

/// The table without hosts and times: equal results, equal text.
Json table_of(const Plan& plan, const std::vector<Row>& rows) {
  Json table = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    Json line{{"shard", plan.name(i)}};
    if (rows[i].state == State::done) line["sha256"] = rows[i].sha256;
    if (rows[i].state == State::failed) line["failed"] = rows[i].reason;
    if (rows[i].state == State::open) line["open"] = true;
    table.push_back(std::move(line));
  }
  return table;
}

/// One golden file under a group.
void copy_case(const files::Hdf5Reader& from, files::Hdf5Writer& to, const std::string& group) {
  std::set<std::string> groups{""};
  for (const files::TensorInfo& info : from.tensors()) {
    for (auto slash = info.name.find('/'); slash != std::string::npos;
         slash = info.name.find('/', slash + 1))
      groups.insert(info.name.substr(0, slash));
    to.write(group + "/" + info.name, from.read(info.name));
    files::Attributes attributes = from.attributes(info.name);
    attributes.erase("format");  // written with the dataset
    if (!attributes.empty()) to.set_attributes(group + "/" + info.name, attributes);
  }
  for (const std::string& name : groups) {
    const files::Attributes& attributes = from.attributes(name);
    if (!attributes.empty())
      to.set_attributes(name.empty() ? group : group + "/" + name, attributes);
  }
}

using Step = std::function<void(std::size_t)>;

void merge_golden(const Plan& plan, std::vector<Row>& rows, const fs::path& path,
                  const Step& step) {
  files::Hdf5Writer file(path, "karat-golden-set/1");
  file.group("cases");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    step(i);
    if (rows[i].state != State::done) continue;
    const files::Hdf5Reader shard(plan.result(i));
    if (!shard.seal()) refuse(plan, i, "has no seal");
    settle(plan, i, rows[i], shard.seal()->sha256);
    copy_case(shard, file, "cases/" + std::string(plan.name(i)));
  }
  file.set_attributes("", {{"sweep", plan.spec().name},
                           {"spec_sha256", plan.spec().sha256},
                           {"version", plan.karat_version()},
                           {"shards", table_of(plan, rows).dump()}});
  file.commit();
}

void merge_study(const Plan& plan, std::vector<Row>& rows, const fs::path& path, const Step& step) {
  const study::ChosenStudy chosen = study_of(plan.spec(), plan.places());
  study::StudyIdentity identity =
      study::identity_of(*chosen.source, chosen.recipes, chosen.options);
  std::vector<study::JobResult> jobs;
  Json missing = Json::array();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    step(i);
    if (rows[i].state != State::done) {
      missing.push_back(plan.name(i));
      continue;
    }
    std::string text = read_result(plan, i, rows[i]);
    if (text.ends_with('\n')) text.pop_back();
    if (!text.starts_with('{') || !Json::accept(text)) refuse(plan, i, "is damaged");
    jobs.push_back(study::parse_job_line(text, plan.result(i).string()));
  }
  if (!missing.empty()) {
    Json json = Json::parse(identity.text);
    json["missing"] = missing;
    identity.text = json.dump();
    identity.sha256 = files::sha256_hex(std::as_bytes(std::span(identity.text)));
  }
  study::write_study(path, study::assemble(*chosen.source, chosen.recipes, chosen.options.pass,
                                           identity, std::move(jobs)));
}

void merge_json(const Plan& plan, std::vector<Row>& rows, const fs::path& path, const Step& step) {
  files::AtomicFile file(path);
  file.write("{\"schema\": \"karat.sweep_results\", \"version\": 1, \"name\": " +
             Json(plan.spec().name).dump() + ", \"kind\": \"" +
             std::string(to_string(plan.spec().kind)) + "\", \"spec_sha256\": \"" +
             plan.spec().sha256 + "\",\n\"shards\": [");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    step(i);
    std::string line = i == 0 ? "\n" : ",\n";
    line += "{\"shard\": " + Json(plan.name(i)).dump();
    if (rows[i].state == State::done) {
      std::string text = read_result(plan, i, rows[i]);
      while (text.ends_with('\n')) text.pop_back();
      if (!text.starts_with('{') || !Json::accept(text)) refuse(plan, i, "is damaged");
      line += ", \"result\": " + text;
    } else if (rows[i].state == State::failed) {
      line += ", \"failed\": " + Json(rows[i].reason).dump();
    } else {
      line += ", \"open\": true";
    }
    file.write(line + "}");
  }
  file.write("\n]}\n");
  file.commit();
}

void write_manifest(const Plan& plan, const std::vector<Row>& rows, const std::string& file,
                    const MergeSummary& summary) {
  Json shards = Json::array();
  std::set<std::string> hosts, versions;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    Json line{{"shard", plan.name(i)},
              {"state", row.state == State::done     ? "done"
                        : row.state == State::failed ? "failed"
                                                     : "open"}};
    if (row.state == State::failed) line["reason"] = row.reason;
    if (row.state == State::done) line["sha256"] = row.sha256;
    if (!row.runs.empty()) {
      const auto same = std::ranges::find(row.runs, row.sha256, &LogEntry::sha256);
      const LogEntry& run = same == row.runs.end() ? row.runs.front() : *same;
      line.update({{"bytes", run.bytes},
                   {"seconds", run.seconds},
                   {"host", run.host},
                   {"runner", run.runner},
                   {"karat", run.karat},
                   {"runs", row.runs.size()}});
      hosts.insert(run.host);
      versions.insert(run.karat);
    }
    shards.push_back(std::move(line));
  }
  files::write_json(summary.manifest, {{"schema", "karat.sweep_manifest"},
                                       {"version", 1},
                                       {"name", plan.spec().name},
                                       {"kind", to_string(plan.spec().kind)},
                                       {"spec_sha256", plan.spec().sha256},
                                       {"file", file},
                                       {"sha256", summary.sha256},
                                       {"hosts", hosts},
                                       {"versions", versions},
                                       {"merged", summary.merged},
                                       {"failed", summary.failed},
                                       {"open", summary.open},
                                       {"shards", shards}});
}

}  // namespace

MergeSummary merge(const Plan& plan, const fs::path& destination, const MergeOptions& options) {
  std::error_code error;
  const fs::path inside = fs::weakly_canonical(fs::absolute(destination, error), error)
                              .lexically_relative(fs::canonical(plan.folder(), error));
  if (!error && !inside.empty() && *inside.begin() != "..")
    throw Error(ErrorKind::usage, destination.string(), "lies inside the plan",
                "write the merged file beside it");
  std::vector<Row> rows = rows_of(plan);
  MergeSummary summary{.manifest = destination.string() + ".manifest.json"};
  for (const Row& row : rows)
    ++(row.state == State::done     ? summary.merged
       : row.state == State::failed ? summary.failed
                                    : summary.open);
  if (summary.open > 0 && options.gaps == Gaps::refused)
    throw Error(ErrorKind::input_output, plan.folder().string(),
                std::to_string(summary.open) + " of " + std::to_string(rows.size()) +
                    " shards are not done",
                "run it to its end, or give --partial");
  if (summary.merged == 0)
    throw Error(ErrorKind::input_output, plan.folder().string(), "has no result to merge",
                "run it first");
  const Step step = [&](std::size_t done) {
    if (options.progress) options.progress(done, rows.size());
  };
  switch (plan.spec().kind) {
    case Kind::golden:
      merge_golden(plan, rows, destination, step);
      break;
    case Kind::study:
      merge_study(plan, rows, destination, step);
      break;
    case Kind::check:
    case Kind::diagnose:
    case Kind::trial:
      merge_json(plan, rows, destination, step);
      break;
  }
  summary.sha256 = files::sha256_file(destination);
  write_manifest(plan, rows, destination.string(), summary);
  return summary;
}

Json to_json(const MergeSummary& summary, const std::string& file) {
  return {{"file", file},
          {"sha256", summary.sha256},
          {"manifest", summary.manifest},
          {"merged", summary.merged},
          {"failed", summary.failed},
          {"open", summary.open}};
}

}  // namespace karat::sweep
