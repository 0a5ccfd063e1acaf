// Opening a plan: nothing is believed that a hash can show to be otherwise.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <numeric>

#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"
#include "plan_files.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const std::string& problem,
                         const std::string& action) {
  throw Error(ErrorKind::input_output, files::shown(path), problem, action);
}

/// The fields of plan.json. @throws for what is no plan, or one of another version
files::Json read_facts(const fs::path& folder) {
  files::require_folder(folder);
  const fs::path path = folder / "plan.json";
  if (files::standing(path) != files::Standing::file)
    refuse(folder, "holds no plan", "make one: karat sweep plan SPEC.json -o FOLDER");
  files::Json facts = files::read_json(path);
  const auto text = [&](const char* field) {
    return facts.is_object() ? facts.value(field, std::string()) : std::string();
  };
  try {
    if (text("schema") != kPlanSchema) refuse(path, "is no plan of a sweep", "check the folder");
    if (facts.at("version") != kPlanVersion)
      refuse(folder,
             "is a plan of format " + facts.at("version").dump() + ", this karat reads " +
                 std::to_string(kPlanVersion),
             "run it by karat " + text("karat") + ", or plan anew into another folder");
    if (text("karat") != KARAT_VERSION)
      refuse(folder, "was planned by karat " + text("karat") + ", this is " + KARAT_VERSION,
             "run it by that version, or plan anew into another folder");
  } catch (const files::Json::exception&) {
    refuse(path, "is damaged", "plan anew into another folder");
  }
  return facts;
}

double number_of(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

Plan::Plan(const fs::path& folder) : folder_(folder) {
  const files::Json facts = read_facts(folder);
  const std::string spec_text = files::read_text(folder / "spec.json");
  list_ = files::read_text(folder / "shards.tsv");
  try {
    if (files::sha256_hex(std::as_bytes(std::span(spec_text))) !=
        facts.at("spec_sha256").get<std::string>())
      refuse(folder / "spec.json", "was changed after planning",
             "put it back, or plan the new spec into another folder");
    if (files::sha256_hex(std::as_bytes(std::span(list_))) !=
        facts.at("list_sha256").get<std::string>())
      refuse(folder / "shards.tsv", "was changed after planning", "plan anew into another folder");
    spec_ = parse_spec(spec_text, (folder / "spec.json").string());
    spec_.name = facts.at("name");
    places_ = {.base = facts.at("base").get<std::string>(),
               .recipes = folder / "recipes",
               .plan = folder,
               .inputs = files::read_text(folder / "inputs.json")};
    karat_version_ = facts.at("karat");
    work_sha256_ = facts.at("work_sha256");
    ending_ = facts.at("ending");
    if (ending_ != ".h5" && ending_ != ".json")
      refuse(folder / "plan.json", "is damaged: ending", "plan anew into another folder");
    if (!facts.at("shards").is_number_unsigned())
      refuse(folder / "plan.json", "is damaged: shards", "plan anew into another folder");
    totals_ = {.shards = facts.at("shards").get<std::size_t>(),
               .cost = {.multiply_adds = facts.at("multiply_adds"),
                        .seconds = facts.at("seconds"),
                        .bytes = facts.at("bytes")}};
  } catch (const files::Json::exception&) {
    refuse(folder / "plan.json", "is damaged", "plan anew into another folder");
  }
  shards_.reserve(static_cast<std::size_t>(std::ranges::count(list_, '\n')));
  std::string_view rest = list_;
  while (!rest.empty()) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    std::string_view parts[4];
    for (std::string_view& part : parts) {
      part = line.substr(0, line.find('\t'));
      line.remove_prefix(std::min(line.size(), part.size() + 1));
    }
    shards_.push_back(
        {parts[0], line, {number_of(parts[1]), number_of(parts[2]), number_of(parts[3])}});
  }
  if (shards_.size() != totals_.shards)
    refuse(folder / "shards.tsv", "has another number of shards than plan.json",
           "plan anew into another folder");
}

std::size_t Plan::shard_named(std::string_view name) const {
  const auto found = std::ranges::find(shards_, name, &Line::name);
  if (found != shards_.end()) return static_cast<std::size_t>(found - shards_.begin());
  throw Error(ErrorKind::usage, std::string(name), "is no shard of " + folder_.string(),
              "did you mean " + numerics::nearest_name(name, shards_, [](const Line& line) {
                return line.name;
              }) + "?");
}

std::vector<std::size_t> Plan::by_cost() const {
  std::vector<std::size_t> order(size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return shards_[a].cost.seconds > shards_[b].cost.seconds;
  });
  return order;
}

fs::path Plan::result(std::size_t shard) const {
  return folder_ / "results" / result_folder(shard) / (std::string(name(shard)) + ending_);
}

fs::path Plan::failure(std::size_t shard) const {
  return folder_ / "failed" / (std::to_string(shard) + ".json");
}

std::vector<char> Plan::done() const {
  std::vector<char> found(size(), 0);
  std::vector<std::string> there;
  for (std::size_t begin = 0; begin < size(); begin += kShardsPerFolder) {
    there.clear();
    for (const fs::path& path :
         files::files_in(folder_ / "results" / result_folder(begin), ending_))
      there.push_back(path.filename().string());
    for (std::size_t i = begin; i < std::min(size(), begin + kShardsPerFolder); ++i)
      found[i] = std::ranges::binary_search(there, std::string(name(i)) + ending_);
  }
  return found;
}

std::unique_ptr<Work> Plan::work() const {
  std::unique_ptr<Work> work = work_of(spec_, places_);
  if (work_hash(*work) != work_sha256_)
    refuse(folder_, "recipes or inputs are others than were planned",
           "put them back, or plan anew into another folder");
  return work;
}

}  // namespace karat::sweep
