// Published rows as text: a header line, then "a[32] b[32] C D" in hexadecimal, C and D as f32
// bits. Read in place; the project contains none of them.
#include <bit>
#include <sstream>

#include "comparison.hpp"
#include "karat/evidence/deciders.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/step.hpp"

namespace karat::evidence {
namespace {

/// The header names GPU, formats and the path the instruction took.
struct Source {
  std::string_view words[2];
  std::string_view instruction;
};
constexpr Source kSources[] = {
    {{"H100 E4M3->fp32", "wgmma(QGMMA)"}, "hopper.wgmma.e4m3.f32"},
    {{"H100 E4M3->fp32", "mma.sync"}, "hopper.mma.e4m3.f32"},
    {{"H100 E4M3->fp16", "mma.sync"}, "hopper.mma.e4m3.f16"},
    {{"H100 E4M3->fp16", "wgmma(QGMMA)"}, "hopper.wgmma.e4m3.f16"},
    {{"E4M3->fp32", "QMMA"}, "ada.mma.e4m3.f32"},
    {{"E4M3->fp16", "QMMA"}, "ada.mma.e4m3.f16"},
};

bool is_hexadecimal(const std::string& text, std::size_t digits) {
  return text.size() == digits && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::uint32_t as_accumulator(const numerics::Instruction& instruction, std::uint32_t f32_bits) {
  if (instruction.accumulator == numerics::FormatId::f32) return f32_bits;
  return numerics::encode(std::bit_cast<float>(f32_bits), instruction.accumulator,
                          {.overflow = numerics::Overflow::infinity});
}

}  // namespace

std::vector<Compared> compare_text_rows(const std::filesystem::path& path) {
  const auto fail = [&](const std::string& problem) {
    throw Error(ErrorKind::input_output, path.string(), problem,
                "rows are \"a[32] b[32] C D\" under a header that names the instruction");
  };
  std::istringstream in(files::read_text(path));
  std::string header;
  if (!std::getline(in, header)) fail("cannot be read");
  const Source* source = nullptr;
  for (const Source& candidate : kSources)
    if (source == nullptr && header.find(candidate.words[0]) != std::string::npos &&
        header.find(candidate.words[1]) != std::string::npos)
      source = &candidate;
  if (source == nullptr) fail("its header names no known instruction path");
  const numerics::Instruction& instruction = numerics::instruction(source->instruction);

  Part part{.file = path.string(), .what = "published rows"};
  std::vector<DifferingRow> rows;
  std::string line;
  for (int number = 2; std::getline(in, line); ++number) {
    if (line.empty()) continue;
    std::istringstream fields(line);
    std::string a, b, c, d, rest;
    fields >> a >> b >> c >> d;
    if (!is_hexadecimal(a, 64) || !is_hexadecimal(b, 64) || !is_hexadecimal(c, 8) ||
        !is_hexadecimal(d, 8) || (fields >> rest))
      fail("line " + std::to_string(number) + " is no row");
    DifferingRow row{.place = "line " + std::to_string(number),
                     .a = codes_of(a, 8, 32),
                     .b = codes_of(b, 8, 32),
                     .c = as_accumulator(instruction, codes_of(c, 32, 1).front()),
                     .captured = as_accumulator(instruction, codes_of(d, 32, 1).front())};
    row.emulated = numerics::step_bits(instruction, row.a, row.b, row.c);
    ++part.rows;
    if (row.emulated == row.captured)
      ++part.equal;
    else
      rows.push_back(std::move(row));
  }
  part.difference = explain(instruction, rows);
  return {{std::string(source->instruction), std::move(part), ""}};
}

}  // namespace karat::evidence
