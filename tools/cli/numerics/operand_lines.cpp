// Strict reading; every complaint names file and line.
#include "numerics/operand_lines.hpp"

#include <sstream>

#include "karat/numerics/base/error.hpp"

namespace karat::cli {

int digits_of(numerics::FormatId id) {
  return id == numerics::FormatId::tf32 ? 8 : numerics::format(id).bits / 4;
}

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
  const auto input = input_format(instruction_);
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

}  // namespace karat::cli
