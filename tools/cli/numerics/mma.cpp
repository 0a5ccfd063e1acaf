// karat mma: one instruction, or a chain of it, on operands given as hexadecimal codes; a line of
// output is D.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <vector>

#include "command.hpp"
#include "interrupt.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/numerics/tensor_core/step.hpp"
#include "options.hpp"

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

void list_instructions(bool json, report::TableStyle style) {
  files::Json body;
  report::Table table{
      .columns = {{"instruction"}, {"K", report::Align::right}, {"evidence"}, {"note"}},
      .rows = {}};
  for (const numerics::Instruction& row : numerics::instructions()) {
    const std::string evidence(evidence_name(numerics::evidence(row)));
    table.rows.push_back({std::string(name(row)), std::to_string(k_group(row)), evidence,
                          std::string(evidence_note(row))});
    body["instructions"].push_back({{"name", name(row)},
                                    {"k", k_group(row)},
                                    {"evidence", evidence},
                                    {"note", evidence_note(row)}});
  }
  if (json)
    print_json("mma", 1, body);
  else
    std::fputs(report::to_text(table, style).c_str(), stdout);
}

using Codes = std::vector<std::uint32_t>;

struct Operands {
  Codes a, b;
  std::uint32_t c = 0;
};

/// Hexadecimal digits of one code as a register shows it: TF32 stands in a whole f32 word.
int digits_of(numerics::FormatId id) {
  return id == numerics::FormatId::tf32 ? 8 : numerics::format(id).bits / 4;
}

/// Reads the lines of one file, in order: "a b c", codes in hexadecimal, concatenated with the
/// first first. Strict: every complaint names file and line.
class OperandReader {
 public:
  OperandReader(const numerics::Instruction& instruction, std::string file)
      : instruction_(instruction), file_(std::move(file)) {}

  /// Nothing for an empty line or a comment. @throws Error(usage) with file and line
  std::optional<Operands> read(const std::string& line);

 private:
  [[noreturn]] void fail(const std::string& problem, const std::string& action) const;
  Codes codes(const std::string& text, const std::string& which) const;
  Codes words(const std::string& text, int digits, const std::string& which) const;

  const numerics::Instruction& instruction_;
  std::string file_;
  std::size_t number_ = 0;
};

std::optional<Operands> OperandReader::read(const std::string& line) {
  ++number_;
  std::istringstream stream(line);
  std::vector<std::string> fields;
  for (std::string field; stream >> field;) fields.push_back(field);
  if (fields.empty() || fields[0][0] == '#') return std::nullopt;
  if (fields.size() != 3) {
    fail(std::to_string(fields.size()) + " fields", "a line is \"a b c\" in hexadecimal");
  }
  const auto accumulator = accumulator_format(instruction_);
  Operands row{codes(fields[0], "a"), codes(fields[1], "b"), 0};
  const Codes c = words(fields[2], digits_of(accumulator), "c");
  if (c.size() != 1) {
    fail("c has " + std::to_string(fields[2].size()) + " digits",
         "it has " + std::to_string(digits_of(accumulator)) + " for " +
             std::string(numerics::format(accumulator).name));
  }
  row.c = c[0];
  if (row.a.size() != row.b.size()) {
    fail(std::to_string(row.a.size()) + " a operands and " + std::to_string(row.b.size()) +
             " b operands",
         "give as many of one as of the other");
  }
  const auto k = static_cast<std::size_t>(k_group(instruction_));
  if (row.a.size() > k && row.a.size() % k != 0) {
    fail(std::to_string(row.a.size()) +
             " operands are more than a multiple of K = " + std::to_string(k),
         "give up to K of them, or whole instructions");
  }
  return row;
}

void OperandReader::fail(const std::string& problem, const std::string& action) const {
  throw Error(ErrorKind::usage, file_ + ", line " + std::to_string(number_), problem, action);
}

Codes OperandReader::codes(const std::string& text, const std::string& which) const {
  const auto input = which == "a" ? input_format(instruction_) : column_format(instruction_);
  Codes words = OperandReader::words(text, digits_of(input), which);
  // The tensor core looks at the upper 19 bits of a TF32 register.
  if (input == numerics::FormatId::tf32) {
    for (std::uint32_t& word : words) word >>= 13;
  }
  return words;
}

Codes OperandReader::words(const std::string& text, int digits, const std::string& which) const {
  const auto width = static_cast<std::size_t>(digits);
  const auto bad = text.find_first_not_of("0123456789abcdef");
  if (bad != std::string::npos) {
    fail(which + " holds \"" + text.substr(bad, 1) + "\"",
         "digits are 0 to 9 and a to f, no prefix");
  }
  if (text.size() % width != 0) {
    fail(which + " has " + std::to_string(text.size()) + " digits",
         "a code has " + std::to_string(width));
  }
  Codes codes;
  for (std::size_t i = 0; i < text.size(); i += width) {
    codes.push_back(static_cast<std::uint32_t>(std::stoul(text.substr(i, width), nullptr, 16)));
  }
  return codes;
}

}  // namespace

int run_mma(int argc, char** argv) {
  CommandLine line("mma", "Run one tensor-core instruction, or a chain of it, on raw codes.");
  line.add({{"instruction", "its name, such as hopper.wgmma.e4m3.f32"},
            {"in", "lines \"a b c\" in hexadecimal, - for standard input"},
            {"explain", "show exponents, grid and what was truncated", Takes::nothing},
            {"list", "list the instructions and what each rests on", Takes::nothing},
            kMarkdown});
  line.note(
      "Operands are concatenated in order, lower case, no prefix: two digits for FP8 and INT8, "
      "four\n"
      "for FP16 and BF16, eight for TF32 and FP32. c and D are as wide as the accumulator. Fewer\n"
      "operands than K are filled with zeros, a multiple of K chains. Lines with # are skipped.");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const bool json = given->count("json") > 0, wants_trace = given->count("explain") > 0;
  if (given->count("list") > 0) {
    list_instructions(json, table_style(*given));
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
