// karat run: a kernel's PTX, launched by a file; its outputs beside a golden file.
#include "karat/ptx/run.hpp"

#include <iostream>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "interrupt.hpp"
#include "karat/case/memory.hpp"
#include "karat/case/tensor_source.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/request.hpp"
#include "karat/ptx/request.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

/// The launch's outputs as a candidate.
class Outputs final : public cases::TensorSource {
 public:
  Outputs(files::Tensors stages, const std::string& launch)
      : TensorSource(launch), stages_(std::move(stages)) {
    for (const auto& [name, tensor] : stages_)
      list_.push_back({.name = name, .dtype = tensor.dtype, .shape = tensor.shape, .problem = {}});
  }
  const std::vector<files::TensorInfo>& list() const override { return list_; }
  files::Tensor read(const std::string& name) const override { return stages_.at(name); }

 protected:
  files::Tensor read_part(const std::string& name, const files::Shape& offset,
                          const files::Shape& count) const override {
    const files::Tensor& whole = stages_.at(name);
    return cases::box_of(whole.dtype, whole.shape, whole.bytes, offset, count);
  }

 private:
  files::Tensors stages_;
  std::vector<files::TensorInfo> list_;
};

/// "o=out,lse=lse": stages of the golden file by the launch's outputs. Without it the outputs' own
/// names are stages.
/// Taps are called as their stages.
files::Tensors stages_of(const files::Tensors& outputs, std::string_view map,
                         const ptx::Launch& launch) {
  if (map.empty()) return outputs;
  files::Tensors stages;
  for (const auto& [name, tensor] : outputs)
    if (!launch.tensors.contains(name)) stages.emplace(name, tensor);
  for (const std::string& each : split(map, ',')) {
    const std::size_t sign = each.find('=');
    if (sign == 0 || sign == std::string::npos)
      throw Error(ErrorKind::usage, "--map", "\"" + each + "\" is no stage=output",
                  "give --map o=out,lse=lse");
    const auto found = outputs.find(each.substr(sign + 1));
    if (found == outputs.end())
      throw Error(ErrorKind::usage, "--map",
                  "the launch has no output \"" + each.substr(sign + 1) + "\"",
                  "name tensors whose \"output\" is true");
    stages[each.substr(0, sign)] = found->second;
  }
  return stages;
}

/// What is to be said of the outputs beside a golden file.
struct Judgement {
  golden::GoldenFile golden;
  Outputs candidate;
  golden::CheckReport report;

  Judgement(const std::string& file, files::Tensors stages, const std::string& launch,
            golden::CheckOptions options, Narration narration)
      : golden(file), candidate(std::move(stages), launch) {
    Progress bar("heads", narration);
    options.progress = bar.callback();
    report = golden::check(golden, candidate, options);
  }
};

/// The CTA to draw. @throws Error(usage) for a file that is neither .svg nor .json
ptx::Dimensions timeline_cta(const cxxopts::ParseResult& given, const std::string& picture) {
  if (!picture.ends_with(".svg") && !picture.ends_with(".json"))
    throw Error(ErrorKind::usage, "--timeline", "\"" + picture + "\" is neither .svg nor .json");
  const auto text = text_of(given, "timeline-cta");
  ptx::Dimensions cta{0, 0, 0};
  if (!text) return cta;
  const auto parts = split(*text, ',');
  if (parts.empty() || parts.size() > 3)
    throw Error(ErrorKind::usage, "--timeline-cta", "\"" + *text + "\" is no X,Y,Z");
  std::uint32_t* const to[] = {&cta.x, &cta.y, &cta.z};
  for (std::size_t i = 0; i < parts.size(); ++i)
    *to[i] = static_cast<std::uint32_t>(parse_integer(parts[i], "--timeline-cta", 0, 0x7FFFFFFF));
  return cta;
}

void draw(const ptx::Timeline& timeline, const std::string& picture) {
  files::write_file(picture, picture.ends_with(".svg") ? ptx::to_svg(timeline)
                                                       : ptx::to_trace(timeline).dump() + "\n");
}

}  // namespace

int run_run(int argc, char** argv) {
  CommandLine line("run", "Run a kernel's PTX on the CPU, bit for bit, and write its outputs.",
                   {"launch"});
  add_options(line, ptx::run_fields(), "Run");
  line.add({{"o,out", "the safetensors file: the tensors the launch file calls outputs"}}, "Run");
  line.add({{"golden", "compare the outputs with this golden file, as karat check does"},
            {"map", "its stages by outputs: o=out,lse=lse; outputs are named as stages"},
            {"layout", "of the outputs: BHSD or BSHD", Takes::text, "BHSD"}},
           "Verdict");
  line.add({{"timeline", "draw what warps and barriers of one CTA did: a .svg, or a .json trace"},
            {"timeline-cta", "X,Y,Z: the CTA (0,0,0)"}},
           "Picture");
  add_options(line, golden::check_fields(), "Verdict");
  line.note(
      "exit code 0: it ran, and matches; 1: the kernel is at fault, has a hazard, or differs.\n"
      "The launch file, what is supported and what is proven: docs/run.md.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const std::string out = required(*given, "out");
  ptx::RunRequest asked;
  read_options(*given, ptx::run_fields(), asked);
  asked.launch = required(*given, "launch");
  golden::CheckOptions options{.threads = asked.threads};
  read_options(*given, golden::check_fields(), options);
  if (const auto layout = text_of(*given, "layout")) options.layout = cases::parse_layout(*layout);
  const auto golden_file = text_of(*given, "golden");
  const std::string map = text_of(*given, "map").value_or("");
  if (!golden_file && !map.empty())
    throw Error(ErrorKind::usage, "--map", "names stages of a golden file", "give --golden too");
  ptx::Launch launch = ptx::launch_of(asked);
  const std::optional<std::string> picture = text_of(*given, "timeline");
  if (!picture && given->count("timeline-cta") > 0)
    throw Error(ErrorKind::usage, "--timeline-cta", "nothing is drawn", "give --timeline too");
  if (picture) launch.timeline = timeline_cta(*given, *picture);
  NothingHalfWritten guard;
  const ptx::Outcome outcome = ptx::run(launch);
  std::optional<Judgement> judgement;
  if (golden_file && !outcome.fault)
    judgement.emplace(*golden_file, stages_of(outcome.outputs, map, launch), asked.launch, options,
                      narration(*given));
  guard.over();
  if (given->count("json") > 0) {
    files::Json json = ptx::to_json(outcome);
    if (judgement)
      json["check"] = to_json(judgement->report, judgement->golden, judgement->candidate);
    print_json("run", 1, json);
  }
  if (outcome.fault) {
    std::cerr << "karat: " << *outcome.fault << "\n";
    return mismatch;
  }
  files::write_safetensors(out, outcome.outputs);
  if (picture) draw(*outcome.timeline, *picture);
  if (given->count("json") == 0) {
    std::cout << ptx::to_text(outcome);
    if (judgement)
      std::cout << "\n"
                << to_text(judgement->report, judgement->golden, judgement->candidate, painted)
                << next_text(judgement->report, judgement->golden, judgement->candidate);
  }
  for (const std::string& each : outcome.hazards) std::cerr << "karat: " << each << "\n";
  const bool passed = !judgement || judgement->report.passed;
  return outcome.hazards.empty() && passed ? match : mismatch;
}

}  // namespace karat::cli
