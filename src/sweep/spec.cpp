// A spec's own fields; what stands under the kind is read by the work of that kind.
#include "karat/sweep/spec.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "karat/files/object_fields.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {
namespace {

namespace request = files::request;

constexpr std::string_view kSchema = "karat.sweep_spec";
constexpr int kVersion = 1;
constexpr double kShortestLease = 0.2;

constexpr numerics::Named<Kind> kKinds[] = {{"golden", Kind::golden},
                                            {"study", Kind::study},
                                            {"check", Kind::check},
                                            {"diagnose", Kind::diagnose},
                                            {"trial", Kind::trial}};

constexpr files::RequestField<Spec> kFields[] = {
    request::text<&Spec::name>("name", "of the sweep"),
    request::number<&Spec::lease>("lease", "seconds without a sign of life", 0, 86400),
    request::whole<&Spec::attempts>("attempts", "runners that may die at a shard", 1, 1000),
    request::whole<&Spec::threads>("threads", "of a shard; 0: all the machine has", 0, 1024)};

bool is_file(const std::string& recipe) { return recipe.ends_with(".json"); }

}  // namespace

std::string_view to_string(Kind kind) {
  return std::ranges::find(kKinds, kind, &numerics::Named<Kind>::value)->name;
}

Spec parse_spec(std::string_view bytes, const std::string& subject) {
  files::ObjectFields fields(files::parse_json(bytes, subject, ErrorKind::usage), subject);
  const auto expect = [&](const char* field, const files::Json& wanted) {
    if (!fields.has(field) || fields.at(field) != wanted)
      throw Error(ErrorKind::usage, fields.named(field), "is not " + wanted.dump(),
                  "this karat reads " + std::string(kSchema) + " " + std::to_string(kVersion));
  };
  expect("schema", kSchema);
  expect("version", kVersion);
  Spec spec;
  fields.read(std::span<const files::RequestField<Spec>>(kFields), spec);
  bool found = false;
  for (const auto& [name, kind] : kKinds) {
    if (!fields.has(name)) continue;
    if (found)
      throw Error(ErrorKind::usage, fields.named(name), "stands beside another kind of shard",
                  "give one of golden, study, check, diagnose, trial");
    if (!fields.at(name).is_object())
      throw Error(ErrorKind::usage, fields.named(name), "is no JSON object", "give {...}");
    found = true;
    spec.kind = kind;
    spec.text = fields.at(name).dump();
  }
  fields.finish();
  if (!found)
    throw Error(ErrorKind::usage, subject, "says nothing to compute",
                "give one of golden, study, check, diagnose, trial");
  if (spec.lease < kShortestLease)
    throw Error(ErrorKind::usage, fields.named("lease"), "is below 0.2 seconds",
                "give more than four beats of a runner take; 60 is the default");
  spec.sha256 = files::sha256_hex(std::as_bytes(std::span(bytes)));
  return spec;
}

std::string Places::file(const std::string& name) const {
  return (base / name).lexically_normal().string();
}

std::string Places::recipe(const std::string& name) const {
  if (!is_file(name)) return name;
  return (recipes / std::filesystem::path(name).filename()).string();
}

std::string Places::recipe_in_command(const std::string& name) const {
  if (!is_file(name)) return name;
  return (plan / "recipes" / std::filesystem::path(name).filename()).string();
}

std::vector<std::string> recipe_files(const Spec& spec) {
  std::vector<std::string> names;
  const files::Json body = files::Json::parse(spec.text);
  if (const auto list = body.find("recipes"); list != body.end() && list->is_array())
    for (const auto& entry : *list)
      if (entry.is_string() && is_file(entry.get<std::string>())) names.push_back(entry);
  return names;
}

}  // namespace karat::sweep
