// Planning: into a folder beside the final one, which is renamed when it is complete.
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "karat/files/atomic_file.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "karat/report/text.hpp"
#include "plan_files.hpp"

namespace karat::sweep {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestName = 200;  // with an ending and room for what tools put around it

/// A folder that is removed unless it got its final name.
class Draft {
 public:
  explicit Draft(const fs::path& final) : final_(final) {
    std::random_device random;
    path_ = final.parent_path() /
            ("." + final.filename().string() + "." + std::to_string(random() % 1000000) + ".part");
    files::make_folder(path_);
  }
  ~Draft() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  Draft(const Draft&) = delete;
  Draft& operator=(const Draft&) = delete;
  const fs::path& path() const { return path_; }
  void commit() {
    std::error_code error;
    fs::rename(path_, final_, error);
    if (error)
      throw Error(ErrorKind::input_output, files::shown(final_),
                  "cannot be given its name: " + error.message(), "choose another folder");
    path_.clear();
  }

 private:
  fs::path final_, path_;
};

/// Copies of recipe files, complete: a plan does not change when its files do.
void copy_recipes(const Spec& spec, const fs::path& base, const fs::path& folder) {
  files::make_folder(folder);
  std::set<std::string> copied;
  for (const std::string& name : recipe_files(spec)) {
    const std::string file = fs::path(name).filename().string();
    if (!copied.insert(file).second)
      throw Error(ErrorKind::usage, name, "has the name of another recipe file",
                  "give recipe files names of their own");
    files::write_file(folder / file, recipe::to_json(recipe::load_recipe((base / name).string())));
  }
}

/// Texts of the list are lines of UTF-8.
void require_line(const std::string& name, const std::string& text) {
  bool good = std::ranges::none_of(text, [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  try {
    [[maybe_unused]] const std::string tried = files::Json(text).dump();
  } catch (const files::Json::exception&) {
    good = false;
  }
  if (!good)
    throw Error(ErrorKind::usage, name,
                "reads a name with a line break, a tab or bytes that are no UTF-8",
                "rename that file or folder");
}

/// A line a shard, and their totals.
std::string list_of(const Work& work, PlanTotals& totals) {
  totals = {.shards = work.size(), .cost = {}};
  std::string text;
  std::set<std::string> names;
  for (std::size_t shard = 0; shard < work.size(); ++shard) {
    const std::string name = work.name(shard);
    if (!names.insert(name).second)
      throw Error(ErrorKind::usage, name, "would be the name of two shards",
                  "give each recipe, model and folder once, under a name of its own");
    if (name.size() > kLongestName)
      throw Error(ErrorKind::usage, name.substr(0, 40) + "...",
                  "is a name of " + std::to_string(name.size()) + " bytes",
                  "give files and fields shorter ones: a shard's name has at most " +
                      std::to_string(kLongestName) + " bytes");
    const std::string command = work.command(shard);
    require_line(name, command);
    const Cost cost = work.cost(shard);
    totals.cost.multiply_adds += cost.multiply_adds;
    totals.cost.seconds += cost.seconds;
    totals.cost.bytes += cost.bytes;
    text += name;
    text += report::print("\t%.4g\t%.4g\t%.4g\t", cost.multiply_adds, cost.seconds, cost.bytes);
    text += command;
    text += '\n';
  }
  return text;
}

[[noreturn]] void refuse_other(const fs::path& folder, const std::string& problem) {
  throw Error(ErrorKind::input_output, files::shown(folder), problem,
              "plan into another folder; nothing was touched");
}

/// Whether the very spec was planned there; its inputs may have been others. @throws where
/// something else stands
bool stands(const Spec& spec, const fs::path& folder) {
  const files::Standing there = files::standing(folder);
  if (there == files::Standing::nothing) return false;
  std::error_code error;
  if (there == files::Standing::folder && fs::is_empty(folder, error)) return false;
  if (there != files::Standing::folder ||
      files::standing(folder / "plan.json") != files::Standing::file)
    throw Error(ErrorKind::input_output, files::shown(folder), "holds something else",
                "choose another folder");
  if (Plan(folder).spec().sha256 == spec.sha256) return true;
  refuse_other(folder, "holds the plan of another spec, or of this one before it was changed");
}

}  // namespace

Planned make_plan(const fs::path& spec_file, const fs::path& given, const PlanOptions& options) {
  const std::string bytes = files::read_text(spec_file);
  Spec spec = parse_spec(bytes, files::shown(spec_file));
  std::error_code error;
  fs::path folder = fs::absolute(given, error).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  const bool standing = stands(spec, folder);
  if (spec.name.empty()) spec.name = spec_file.stem().string();

  const fs::path base = fs::absolute(spec_file, error).lexically_normal().parent_path();
  require_line("the folder of the spec", base.string());
  require_line("the folder of the plan", folder.string());
  Draft draft(folder);
  copy_recipes(spec, base, draft.path() / "recipes");
  const std::unique_ptr<Work> work =
      work_of(spec, {.base = base, .recipes = draft.path() / "recipes", .plan = folder});
  if (work->size() == 0)
    throw Error(ErrorKind::usage, files::shown(spec_file), "asks for no shard", "name some cells");
  PlanTotals totals;
  const std::string list = list_of(*work, totals);
  if (standing) {
    if (Plan(folder).work_sha256() == work_hash(*work)) return Planned::standing;
    refuse_other(folder, "holds the plan of this spec with other recipes or inputs");
  }
  files::write_file(draft.path() / "shards.tsv", list);
  for (const char* name : kFolders) files::make_folder(draft.path() / name);
  for (std::size_t shard = 0; shard < totals.shards; shard += kShardsPerFolder)
    files::make_folder(draft.path() / "results" / result_folder(shard));
  files::write_file(draft.path() / "spec.json", bytes);
  files::write_file(draft.path() / "inputs.json", std::string_view(work->identity()));
  files::write_file(draft.path() / "sbatch.sh", sbatch_script(spec, totals, folder, options.karat));
  files::write_json(draft.path() / "plan.json",
                    {{"schema", kPlanSchema},
                     {"version", kPlanVersion},
                     {"karat", KARAT_VERSION},
                     {"name", spec.name},
                     {"kind", to_string(spec.kind)},
                     {"base", base.string()},
                     {"ending", work->ending()},
                     {"spec_sha256", spec.sha256},
                     {"list_sha256", files::sha256_file(draft.path() / "shards.tsv")},
                     {"work_sha256", work_hash(*work)},
                     {"shards", totals.shards},
                     {"multiply_adds", totals.cost.multiply_adds},
                     {"seconds", totals.cost.seconds},
                     {"bytes", totals.cost.bytes}});
  draft.commit();
  return Planned::made;
}

std::string result_folder(std::size_t shard) {
  return report::print("%04zu", shard / kShardsPerFolder);
}

std::string work_hash(const Work& work) {
  files::Sha256 hash;
  for (std::size_t shard = 0; shard < work.size(); ++shard) {
    const std::string name = work.name(shard) + "\n";
    hash.update(std::as_bytes(std::span(name)));
  }
  const std::string identity = work.identity();
  hash.update(std::as_bytes(std::span(identity)));
  return hash.hex();
}

}  // namespace karat::sweep
