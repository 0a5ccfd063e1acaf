// karat mma: one instruction, or a chain of it, on operands given as hexadecimal codes; a line of
// output is D.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "commands.hpp"
#include "interrupt.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/tensor_core/step.hpp"
#include "karat/numerics/tensor_core/tensor_core.hpp"
#include "numerics/operand_lines.hpp"

namespace karat::cli {
namespace {

constexpr std::string_view evidence_name(numerics::Evidence evidence) {
  switch (evidence) {
    case numerics::Evidence::hardware_rows:
      return "hardware rows";
    case numerics::Evidence::model_only:
      return "a model only";
    case numerics::Evidence::definition:
      return "by definition";
  }
  return "";
}

std::string hex(std::uint32_t bits, int digits) {
  return report::print("%0*x", digits, static_cast<unsigned>(bits));
}

void print_trace(const numerics::StepTrace& trace, std::size_t step, int digits) {
  if (trace.special) {
    std::printf("  step %zu: decided by NaN or Inf -> %s\n", step,
                hex(trace.result, digits).c_str());
    return;
  }
  std::printf("  step %zu: largest exponent %d, grid 2^%d\n", step, trace.largest_exponent,
              trace.grid);
  for (std::size_t i = 0; i < trace.terms.size(); ++i) {
    const numerics::AlignedTerm& term = trace.terms[i];
    if (term.significand == 0) continue;
    const std::string label = i + 1 == trace.terms.size() ? "c" : "product " + std::to_string(i);
    std::printf("    %-10s %c%llu * 2^%d  exponent %d  keeps %lld%s\n", label.c_str(),
                term.negative ? '-' : '+', static_cast<unsigned long long>(term.significand),
                term.unit, term.exponent, static_cast<long long>(term.kept),
                term.truncated ? "  truncated" : "");
  }
  std::printf("    sum %lld * 2^%d -> %s\n", static_cast<long long>(trace.sum), trace.grid,
              hex(trace.result, digits).c_str());
}

void list_instructions(bool json) {
  files::Json body;
  for (const numerics::Instruction& row : numerics::instructions()) {
    if (!json) {
      std::printf("%-28s K = %-3d %-14s %s\n", std::string(name(row)).c_str(), k_group(row),
                  std::string(evidence_name(evidence(row))).c_str(),
                  std::string(evidence_note(row)).c_str());
      continue;
    }
    body["instructions"].push_back({{"name", name(row)},
                                    {"k", k_group(row)},
                                    {"evidence", evidence_name(evidence(row))},
                                    {"note", evidence_note(row)}});
  }
  if (json) print_json("mma", 1, body);
}

}  // namespace

int run_mma(int argc, char** argv) {
  CommandLine line("mma", "Run one tensor-core instruction, or a chain of it, on raw codes.");
  line.add()("instruction", "its name, such as hopper.wgmma.e4m3.f32",
             cxxopts::value<std::string>())(
      "in", "lines \"a b c\" in hexadecimal, - for standard input", cxxopts::value<std::string>())(
      "explain", "show exponents, grid and what was truncated")(
      "list", "list the instructions and what each rests on");
  line.note(
      "Operands are concatenated in order, lower case, no prefix: two digits for FP8 and INT8, four\n"
      "for FP16 and BF16, eight for TF32 and FP32. c and D are as wide as the accumulator. Fewer\n"
      "operands than K are filled with zeros, a multiple of K chains. Lines with # are skipped.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const bool json = given->count("json") > 0, wants_trace = given->count("explain") > 0;
  if (given->count("list") > 0) {
    list_instructions(json);
    return match;
  }
  const numerics::Instruction& instruction = numerics::instruction(required(*given, "instruction"));
  const std::string path = required(*given, "in");
  std::ifstream file;
  if (path != "-") {
    files::require_readable(path);
    file.open(path);
    if (!file) throw Error(ErrorKind::input_output, path, "cannot be read", "check the name");
  }
  std::istream& in = path == "-" ? std::cin : file;
  if (given->count("quiet") == 0) {
    std::fprintf(stderr, "%s: %s (%s)\n", std::string(name(instruction)).c_str(),
                 std::string(evidence_name(evidence(instruction))).c_str(),
                 std::string(evidence_note(instruction)).c_str());
  }
  const int digits = digits_of(accumulator_format(instruction));
  OperandReader reader(instruction, path);
  const NothingHalfWritten computing;
  files::Json body{{"instruction", name(instruction)},
                   {"evidence", evidence_name(evidence(instruction))},
                   {"d", files::Json::array()}};
  for (std::string text; std::getline(in, text);) {
    const std::optional<Operands> row = reader.read(text);
    if (!row) continue;
    const std::string d = hex(chain_bits(instruction, row->a, row->b, row->c), digits);
    if (json) {
      body["d"].push_back(d);
      continue;
    }
    std::printf("%s\n", d.c_str());
    if (!wants_trace) continue;
    const auto traces = explain(instruction, row->a, row->b, row->c);
    for (std::size_t step = 0; step < traces.size(); ++step)
      print_trace(traces[step], step, digits);
  }
  if (json) print_json("mma", 1, body);
  return match;
}

}  // namespace karat::cli
