// Reading and checking machine files; the presets are compiled in.
#include "karat/hopper/machine.hpp"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <variant>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/embedded.hpp"
#include "words.hpp"

namespace karat::hopper {

std::span<const numerics::EmbeddedFile> machine_files();

namespace {

using Member = std::variant<int Machine::*, double Machine::*>;

/// A number of a machine file. Values outside [low, high] are taken for slips of the unit.
struct Field {
  const char* name;
  Member member;
  double low, high;
};
constexpr std::array kFields = {
    Field{"sms", &Machine::sms, 1, 1024},
    Field{"clock_mhz", &Machine::clock_mhz, 100, 5000},
    Field{"short_launch_clock_mhz", &Machine::short_launch_clock_mhz, 100, 5000},
    Field{"spec_clock_mhz", &Machine::spec_clock_mhz, 100, 5000},
    Field{"boost_clock_mhz", &Machine::boost_clock_mhz, 100, 5000},
    Field{"bf16_flop_per_clk", &Machine::bf16_flop_per_clk, 64, 65536},
    Field{"fp8_flop_per_clk", &Machine::fp8_flop_per_clk, 64, 131072},
    Field{"mufu_per_clk", &Machine::mufu_per_clk, 1, 1024},
    Field{"fp32_per_clk", &Machine::fp32_per_clk, 1, 4096},
    Field{"alu_per_clk", &Machine::alu_per_clk, 1, 4096},
    Field{"conversions_per_clk", &Machine::conversions_per_clk, 1, 4096},
    Field{"smem_bytes_per_clk", &Machine::smem_bytes_per_clk, 8, 4096},
    Field{"smem_kib_per_cta", &Machine::smem_kib_per_cta, 16, 4096},
    Field{"registers", &Machine::registers, 1024, 4194304},
    Field{"max_warps", &Machine::max_warps, 4, 1024},
    Field{"max_ctas", &Machine::max_ctas, 1, 1024},
    Field{"l2_mib", &Machine::l2_mib, 0.5, 4096},
    Field{"l2_gb_per_s", &Machine::l2_gb_per_s, 50, 200000},
    Field{"hbm_gib", &Machine::hbm_gib, 1, 4096},
    Field{"hbm_gb_per_s", &Machine::hbm_gb_per_s, 10, 100000},
    Field{"tdp_w", &Machine::tdp_w, 10, 10000},
};

[[noreturn]] void refuse(const std::string& subject, const std::string& field,
                         const std::string& problem, const std::string& action) {
  throw Error(ErrorKind::usage, subject + ": " + field, problem, action);
}

double number(const files::Json& file, const Field& field, const std::string& subject) {
  const auto entry = file.find(field.name);
  if (entry == file.end()) {
    refuse(subject, field.name, "is missing",
           "add {\"value\": ..., \"unit\": ..., \"source\": ...}");
  }
  const bool object = entry->is_object();
  if (object && (!entry->contains("unit") || !entry->contains("source"))) {
    refuse(subject, field.name, "has no unit or no source", "say both beside the value");
  }
  const files::Json* value = object ? nullptr : &*entry;
  if (object && entry->contains("value")) value = &(*entry)["value"];
  if (value == nullptr || !value->is_number()) {
    refuse(subject, field.name, "has no number", "give \"value\": a number");
  }
  const double x = value->get<double>();
  const auto text = [](double v) { return files::Json(v).dump(); };
  if (!(x >= field.low && x <= field.high)) {
    refuse(subject, field.name,
           text(x) + " lies outside " + text(field.low) + " to " + text(field.high),
           "check the unit");
  }
  if (std::holds_alternative<int Machine::*>(field.member) && x != std::floor(x)) {
    refuse(subject, field.name, text(x) + " is not a whole number", "round it");
  }
  return x;
}

/// What `karat cost --calibrate` writes: factors from a hundredth to a hundredfold.
Calibration parse_calibration(const files::Json& json, const std::string& subject) {
  const auto bad = [&]() {
    refuse(subject, "calibration", "is not what karat cost --calibrate writes", "calibrate again");
  };
  Calibration out;
  try {
    const auto ratio = [&](const files::Json& value) {
      const double x = value.get<double>();
      if (!(x >= 0.01 && x <= 100)) bad();
      return x;
    };
    out.clock = ratio(json.at("clock"));
    out.launch = ratio(json.at("launch"));
    out.spread = json.at("spread").get<double>();
    if (!(out.spread >= 0 && out.spread <= 10)) bad();
    out.rows = json.at("rows").get<int>();
    for (const files::Json& g : json.at("factors"))
      out.factors.push_back({.kernel = g.at("kernel").get<std::string>(),
                             .bytes = g.at("bytes").get<int>(),
                             .head_dim = g.at("head_dim").get<int>(),
                             .causal = g.at("causal").get<bool>(),
                             .factor = ratio(g.at("factor")),
                             .rows = g.at("rows").get<int>()});
  } catch (const files::Json::exception&) {
    bad();
  }
  return out;
}

}  // namespace

Machine parse_machine(std::string_view json, const std::string& subject) {
  const files::Json file = files::parse_json(json, subject);
  if (!file.is_object()) refuse(subject, "file", "is no JSON object", "see docs/time-model.md");
  Machine machine;
  const auto name = file.find("name");
  if (name == file.end() || !name->is_string()) refuse(subject, "name", "is missing", "name it");
  machine.name = name->get<std::string>();
  for (const auto& [key, value] : file.items()) {
    bool known = key == "name" || key == "title" || key == "calibration";
    for (const Field& field : kFields) known = known || key == field.name;
    if (!known) {
      refuse(subject, key, "is no field of a machine",
             "did you mean " +
                 numerics::nearest_name(key, kFields, [](const Field& f) { return f.name; }) + "?");
    }
  }
  for (const Field& field : kFields) {
    const double x = number(file, field, subject);
    std::visit(
        [&](auto member) {
          machine.*member = static_cast<std::decay_t<decltype(machine.*member)>>(x);
        },
        field.member);
  }
  if (file.contains("calibration"))
    machine.calibration = parse_calibration(file["calibration"], subject);
  if (machine.short_launch_clock_mhz < machine.clock_mhz) {
    refuse(subject, "short_launch_clock_mhz", "lies below clock_mhz",
           "give the clock before the power limit acts");
  }
  return machine;
}

namespace {

const numerics::EmbeddedFile& preset(std::string_view name) {
  std::vector<std::string> known;
  for (const numerics::EmbeddedFile& file : machine_files()) {
    const std::string stem = plain(file.name);
    const std::string board = stem.ends_with("sxm") ? stem.substr(0, stem.size() - 3) : stem;
    if (plain(name) == stem || plain(name) == board) return file;
    known.push_back(parse_machine(file.text, std::string(file.name)).name);
  }
  throw unknown_name("GPU", name, known);
}

}  // namespace

Machine machine(std::string_view name) {
  const numerics::EmbeddedFile& file = preset(name);
  return parse_machine(file.text, std::string(file.name));
}

std::string machine_text(const std::string& name_or_path) {
  if (!name_or_path.ends_with(".json")) return std::string(preset(name_or_path).text);
  return files::read_json(name_or_path).dump();
}

std::vector<std::string> machine_names() {
  std::vector<std::string> names;
  for (const numerics::EmbeddedFile& file : machine_files()) {
    names.push_back(parse_machine(file.text, std::string(file.name)).name);
  }
  return names;
}

Machine load_machine(const std::string& name_or_path) {
  if (!name_or_path.ends_with(".json")) return machine(name_or_path);
  return parse_machine(files::read_json(name_or_path).dump(), name_or_path);
}

}  // namespace karat::hopper
