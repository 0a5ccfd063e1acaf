// Private: PTX as a list of words, numbers and signs, each with its line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace karat::ptx {

enum class TokenKind : std::uint8_t {
  word,       ///< an opcode with all its parts, a name, a register: "mul.lo.s32", "%tid.x"
  directive,  ///< ".reg", ".b32"
  integer,
  f32,  ///< "0f3F800000", or a decimal with a point
  f64,  ///< "0d3FF0000000000000"
  text,
  sign,  ///< one character
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;   ///< in the source; of a string without its quotes
  std::uint64_t bits = 0;  ///< a number
  std::uint32_t line = 0;  ///< from 1
};

/// The words of a text, comments left out, ending with a token `end`.
/// @param file what errors call it
/// @throws Error(input_output) "file:12: what cannot be read"
std::vector<Token> tokenize(std::string_view source, const std::string& file);

}  // namespace karat::ptx
