// From a folder to a report: the manifest, the files it lists, one comparison each.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "comparison.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::evidence {
namespace {

using files::Json;
namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& problem) {
  throw Error(ErrorKind::input_output, path.string(), problem,
              "capture again with tools/hopper/capture.sh");
}

/// How each kind of file is compared. Octaves stand first: sweeps use the tables fitted to them.
struct Program {
  std::string_view name;
  std::vector<Compared> (*compare)(const CaptureReader&, Context&);
};
constexpr Program kPrograms[] = {
    {"octave", compare_octave},       {"steps", compare_steps},
    {"chains", compare_steps},        {"rows", compare_rows},
    {"sweep", compare_sweep},         {"f16_conversion", compare_f16_conversion},
    {"attention", compare_attention},
};

void add(Report& report, std::vector<Compared> compared) {
  for (Compared& c : compared) {
    auto found = std::find_if(report.findings.begin(), report.findings.end(),
                              [&](const Finding& f) { return f.instruction == c.instruction; });
    if (found == report.findings.end())
      found = report.findings.insert(found, {.instruction = c.instruction});
    found->rows += c.part.rows;
    found->equal += c.part.equal;
    if (found->note.empty()) found->note = std::move(c.note);
    found->parts.push_back(std::move(c.part));
  }
}

std::string text(const Json& json, const char* field, const fs::path& path) {
  const auto found = json.find(field);
  if (found == json.end() || !found->is_string())
    fail(path, std::string("field \"") + field + "\" is missing or no text");
  return found->get<std::string>();
}

void read_timings(const fs::path& path, Report& report) {
  const Json json = files::read_json(path);
  try {
    for (const Json& row : json)
      report.timings.push_back({row.at("name").get<std::string>(), row.at("value").get<double>(),
                                row.at("unit").get<std::string>()});
  } catch (const nlohmann::json::exception& error) {
    fail(path, error.what());
  }
}

Report examine_capture(const fs::path& folder, const Options& options) {
  const fs::path manifest_path = folder / "manifest.json";
  const Json manifest = files::read_json(manifest_path);
  if (!manifest.is_object()) fail(manifest_path, "is no object");
  if (const std::string schema = text(manifest, "schema", manifest_path);
      schema != "karat-capture/1")
    fail(manifest_path, "schema \"" + schema + "\" is not karat-capture/1");
  Report report;
  const std::string origin = text(manifest, "origin", manifest_path);
  if (origin != "hardware" && origin != "emulator")
    fail(manifest_path, "origin \"" + origin + "\" is neither hardware nor emulator");
  report.origin = origin == "hardware" ? Origin::hardware : Origin::emulator;
  for (const auto& [key, value] : manifest.items())
    if (value.is_string() && key != "schema") report.machine.emplace_back(key, value);
  const auto listed = manifest.find("files");
  if (listed == manifest.end() || !listed->is_array() || listed->empty())
    fail(manifest_path, "field \"files\" is missing or empty");

  std::vector<CaptureReader> readers;
  for (const Json& entry : *listed) {
    if (!entry.is_object()) fail(manifest_path, "an entry of \"files\" is no object");
    const std::string name = text(entry, "name", manifest_path);
    if (name.empty() || fs::path(name).filename() != name)
      fail(manifest_path, "\"" + name + "\" is no file name");
    const fs::path path = folder / name;
    if (files::sha256_file(path) != text(entry, "sha256", manifest_path))
      fail(path, "its SHA-256 is not the manifest's");
    if (path.extension() == ".json")
      read_timings(path, report);
    else
      readers.emplace_back(path);
  }
  for (const CaptureReader& reader : readers) {
    const std::string program = reader.text("program");
    if (std::none_of(std::begin(kPrograms), std::end(kPrograms),
                     [&](const Program& p) { return p.name == program; }))
      reader.fail("program", "\"" + program + "\" is unknown");
  }
  Context context{.threads = options.threads, .ex2 = {}, .rcp = {}};
  for (const Program& program : kPrograms)
    for (const CaptureReader& reader : readers) {
      if (reader.text("program") != program.name) continue;
      if (options.progress) options.progress(reader.name());
      add(report, program.compare(reader, context));
    }
  report.ex2 = context.ex2;
  report.rcp = context.rcp;
  return report;
}

Report examine_rows(const fs::path& folder, const Options& options) {
  const std::vector<fs::path> paths = files::files_in(folder, ".txt");
  if (paths.empty()) fail(folder, "has neither a manifest.json nor rows as .txt files");
  Report report{.origin = Origin::public_rows};
  for (const fs::path& path : paths) {
    if (options.progress) options.progress(path.string());
    add(report, compare_text_rows(path));
  }
  return report;
}

}  // namespace

std::string Finding::first_difference() const {
  for (const Part& part : parts)
    if (!part.difference.empty()) return part.what + ", " + part.difference;
  return "";
}

std::uint64_t Report::rows() const {
  std::uint64_t sum = 0;
  for (const Finding& finding : findings) sum += finding.rows;
  return sum;
}

std::uint64_t Report::equal() const {
  std::uint64_t sum = 0;
  for (const Finding& finding : findings) sum += finding.equal;
  return sum;
}

Report examine(const fs::path& folder, const Options& options) {
  files::require_folder(folder);
  return files::standing(folder / "manifest.json") == files::Standing::nothing
             ? examine_rows(folder, options)
             : examine_capture(folder, options);
}

}  // namespace karat::evidence
