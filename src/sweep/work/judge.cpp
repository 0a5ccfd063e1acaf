// Candidates beside golden files, checked or diagnosed: a shard is what --json prints.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "../shell.hpp"
#include "inputs.hpp"
#include "karat/files/object_fields.hpp"
#include "karat/files/paths.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/diagnose_report.hpp"
#include "karat/golden/request.hpp"
#include "karat/sweep/cost.hpp"
#include "works.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;
namespace request = files::request;

constexpr std::size_t kReported = 5;  // hypotheses, as `karat diagnose` prints

struct PairsRequest {
  std::string golden;                   ///< a golden file, or a folder of them
  std::vector<std::string> candidates;  ///< files or folders
};
constexpr files::RequestField<PairsRequest> kPairsFields[] = {
    request::text<&PairsRequest::golden>("golden", "a golden file, or a folder of them"),
    request::texts<&PairsRequest::candidates>(
        "candidates", "candidates of one golden file, or folders with NAME.* for every NAME.h5")};

struct Pair {
  std::string name, golden, candidate;
  std::string golden_was = {}, candidate_was = {};  ///< fingerprints when it was planned
};

std::vector<fs::path> candidates_in(const fs::path& folder) {
  std::vector<fs::path> found;
  for (const char* ending : {".safetensors", ".npy", ".h5"})
    std::ranges::copy(files::files_in(folder, ending), std::back_inserter(found));
  return found;
}

/// The pairs of a plan: a file that vanished is a shard that fails, not another list.
std::vector<Pair> planned(const std::string& inputs) {
  std::vector<Pair> pairs;
  try {
    for (const auto& each : files::parse_json(inputs, "inputs.json"))
      pairs.push_back({each.at(0), each.at(1), each.at(2), each.at(3), each.at(4)});
  } catch (const files::Json::exception&) {
    throw Error(ErrorKind::input_output, "inputs.json", "is damaged",
                "plan anew into another folder");
  }
  return pairs;
}

/// One golden file beside every candidate, or a folder of golden files beside folders whose files
/// have their names.
std::vector<Pair> pairs_of(const PairsRequest& asked, const Places& places,
                           const std::string& subject) {
  if (asked.golden.empty() || asked.candidates.empty())
    throw Error(ErrorKind::usage, subject, "names no golden file or no candidate",
                "give golden and candidates");
  const fs::path golden = places.file(asked.golden);
  std::vector<Pair> pairs;
  if (files::standing(golden) != files::Standing::folder) {
    files::require_readable(golden);
    for (const std::string& given : asked.candidates) {
      const fs::path path = places.file(given);
      std::vector<fs::path> found{path};
      if (files::standing(path) == files::Standing::folder) found = candidates_in(path);
      for (const fs::path& candidate : found)
        pairs.push_back(
            {as_name(candidate.filename().string()), golden.string(), candidate.string()});
    }
  } else {
    for (const std::string& given : asked.candidates) {
      const fs::path folder = places.file(given);
      std::map<std::string, fs::path> by_stem;
      for (const fs::path& candidate : candidates_in(folder))
        by_stem[candidate.stem().string()] = candidate;
      for (const fs::path& file : files::files_in(golden, ".h5")) {
        const std::string stem = file.stem().string();
        const auto found = by_stem.find(stem);
        // A candidate that is missing is a shard that fails: the table says so.
        const fs::path candidate =
            found == by_stem.end() ? folder / (stem + ".safetensors") : found->second;
        pairs.push_back(
            {as_name(folder.filename().string() + "." + stem), file.string(), candidate.string()});
      }
    }
  }
  std::set<std::string> names;
  for (const Pair& pair : pairs)
    if (!names.insert(pair.name).second)
      throw Error(ErrorKind::usage, subject, "\"" + pair.name + "\" is named twice",
                  "give candidates names of their own");
  if (pairs.empty())
    throw Error(ErrorKind::usage, subject, "pairs no candidate with a golden file",
                "check the folders");
  std::map<std::string, std::string> found;
  const auto print_of = [&](const std::string& path) {
    const auto [at, begun] = found.try_emplace(path);
    if (begun) at->second = fingerprint(path);
    return at->second;
  };
  for (Pair& pair : pairs) {
    pair.golden_was = print_of(pair.golden);
    pair.candidate_was = print_of(pair.candidate);
  }
  return pairs;
}

template <typename Options>
std::string options_text(const std::string& text) {
  files::Json json = files::Json::parse(text);
  std::string words;
  const auto add = [&](std::span<const files::RequestField<Options>> rows) {
    for (const auto& row : rows) {
      const auto found = json.find(std::string(row.name));
      if (found == json.end() || found->is_null()) continue;
      std::string name(row.option.empty() ? row.name : row.option);
      std::ranges::replace(name, '_', '-');
      if (row.kind == files::FieldKind::flag) {
        if (found->get<bool>()) words += " --" + name;
      } else if (row.kind == files::FieldKind::texts) {
        std::string list;
        for (const auto& each : *found) list += (list.empty() ? "" : ",") + each.get<std::string>();
        words += " --" + name + " " + shell_word(list);
      } else {
        words += " --" + name + " " +
                 shell_word(found->is_string() ? found->get<std::string>() : found->dump());
      }
    }
  };
  add(golden::candidate_fields<Options>());
  if constexpr (std::is_same_v<Options, golden::CheckOptions>)
    add(golden::check_fields());
  else
    add(golden::diagnose_fields());
  return words;
}

template <typename Options>
class Judging final : public Work {
 public:
  Judging(const Spec& spec, const Places& places, const std::string& subject,
          std::span<const files::RequestField<Options>> own, Options options)
      : options_(std::move(options)) {
    PairsRequest asked;
    files::ObjectFields fields(files::Json::parse(spec.text), subject);
    fields.read(std::span<const files::RequestField<PairsRequest>>(kPairsFields), asked);
    fields.read(golden::candidate_fields<Options>(), options_);
    fields.read(own, options_);
    fields.finish();
    words_ = options_text<Options>(spec.text);
    pairs_ = places.inputs.empty() ? pairs_of(asked, places, subject) : planned(places.inputs);
  }

  std::string_view ending() const override { return ".json"; }
  std::size_t size() const override { return pairs_.size(); }
  std::string name(std::size_t shard) const override { return pairs_[shard].name; }
  Cost cost(std::size_t shard) const override {
    std::error_code missing;
    const auto bytes = static_cast<double>(fs::file_size(pairs_[shard].golden, missing));
    return {.multiply_adds = 0,
            .seconds = missing ? 0 : bytes / (kChecks ? kRates.check : kRates.diagnose),
            .bytes = 10e3};
  }
  std::string command(std::size_t shard) const override {
    const Pair& pair = pairs_[shard];
    return std::string(kChecks ? "karat check " : "karat diagnose ") + shell_word(pair.golden) +
           " " + shell_word(pair.candidate) + words_ + " --json";
  }
  std::string identity() const override {
    files::Json list = files::Json::array();
    for (const Pair& pair : pairs_)
      list.push_back({pair.name, pair.golden, pair.candidate, pair.golden_was, pair.candidate_was});
    return list.dump();
  }
  Made make(std::size_t shard, const fs::path&, const ShardOptions& given) override {
    const Pair& pair = pairs_[shard];
    require_planned(pair.golden, pair.golden_was);
    require_planned(pair.candidate, pair.candidate_was);
    Options options = options_;
    options.threads = given.threads;
    options.progress = [&](std::size_t, std::size_t) {
      if (given.tick) given.tick();
    };
    const golden::GoldenFile golden(pair.golden);
    const auto candidate = cases::TensorSource::open(pair.candidate);
    files::Json json{{"schema", kChecks ? "karat.check" : "karat.diagnose"}, {"version", 1}};
    if constexpr (kChecks) {
      json.update(to_json(golden::check(golden, *candidate, options), golden, *candidate));
    } else {
      json.update(to_json(golden::diagnose(golden, *candidate, options), golden.subject(),
                          candidate->subject(), 0));
      json.erase("seconds");  // of the machine, not of the answer
    }
    return made_of(files::format_json(json));
  }

 private:
  static constexpr bool kChecks = std::is_same_v<Options, golden::CheckOptions>;
  Options options_;
  std::string words_;
  std::vector<Pair> pairs_;
};

}  // namespace

std::unique_ptr<Work> judge_work(const Spec& spec, const Places& places) {
  if (spec.kind == Kind::check)
    return std::make_unique<Judging<golden::CheckOptions>>(
        spec, places, "check", golden::check_fields(), golden::CheckOptions{});
  return std::make_unique<Judging<golden::DiagnoseOptions>>(
      spec, places, "diagnose", golden::diagnose_fields(),
      golden::DiagnoseOptions{.reported = kReported});
}

}  // namespace karat::sweep
