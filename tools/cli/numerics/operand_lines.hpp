// The input of karat mma: a line is "a b c", codes in hexadecimal, concatenated with the first
// first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "karat/numerics/tensor_core/tensor_core.hpp"

namespace karat::cli {

using Codes = std::vector<std::uint32_t>;

struct Operands {
  Codes a, b;
  std::uint32_t c = 0;
};

/// Hexadecimal digits of one code as a register shows it: TF32 stands in a whole f32 word.
int digits_of(numerics::FormatId id);

/// Reads the lines of one file, in order.
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

}  // namespace karat::cli
