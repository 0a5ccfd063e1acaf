// Reading words. PTX separates nothing but names, numbers and single signs; what a word means is
// left to the parser.
#include "parse/token.hpp"

#include <bit>
#include <charconv>
#include <cstdlib>

#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' || c == '%';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name(char c) { return is_letter(c) || is_digit(c); }

class Reader {
 public:
  Reader(std::string_view source, const std::string& file) : source_(source), file_(file) {}

  std::vector<Token> read() {
    std::vector<Token> tokens;
    for (skip_blanks(); at_ < source_.size(); skip_blanks()) tokens.push_back(next());
    tokens.push_back({.kind = TokenKind::end, .line = line_});
    return tokens;
  }

 private:
  char look(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorKind::input_output, file_ + ":" + std::to_string(line_), problem);
  }

  void skip_blanks() {
    while (at_ < source_.size()) {
      if (source_.substr(at_, 2) == "//") {
        while (at_ < source_.size() && source_[at_] != '\n') ++at_;
      } else if (source_.substr(at_, 2) == "/*") {
        const std::size_t end = source_.find("*/", at_ + 2);
        if (end == std::string_view::npos) fail("a comment is never closed");
        for (; at_ < end + 2; ++at_) line_ += source_[at_] == '\n';
      } else if (const char c = source_[at_]; c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        line_ += c == '\n';
        ++at_;
      } else {
        return;
      }
    }
  }

  Token next() {
    const std::size_t begin = at_;
    Token token{.line = line_};
    if (is_letter(look())) {
      token.kind = TokenKind::word;
      take_name();
      take_parts();
    } else if (look() == '.' && is_letter(look(1))) {
      token.kind = TokenKind::directive;
      ++at_;
      take_name();
      while (look() == ':' && look(1) == ':') take_qualifier();
    } else if (is_digit(look())) {
      take_number(token);
    } else if (look() == '"') {
      const std::size_t end = source_.find_first_of("\"\n", at_ + 1);
      if (end == std::string_view::npos || source_[end] != '"') fail("a string is never closed");
      token.kind = TokenKind::text;
      token.text = source_.substr(begin + 1, end - begin - 1);
      at_ = end + 1;
      return token;
    } else {
      if (static_cast<unsigned char>(look()) < 0x21 || static_cast<unsigned char>(look()) > 0x7E)
        fail("a byte that is no PTX");
      token.kind = TokenKind::sign;
      ++at_;
    }
    token.text = source_.substr(begin, at_ - begin);
    return token;
  }

  void take_name() {
    while (is_name(look())) ++at_;
  }
  void take_qualifier() {
    at_ += 2;
    take_name();
  }
  /// ".s32" and "::bytes" after a name. A single colon ends a label.
  void take_parts() {
    for (;;) {
      if (look() == '.' && is_name(look(1))) {
        ++at_;
        take_name();
      } else if (look() == ':' && look(1) == ':') {
        take_qualifier();
      } else {
        return;
      }
    }
  }

  void take_number(Token& token) {
    const std::size_t begin = at_;
    const char form = look(1);
    if (look() == '0' && (form == 'f' || form == 'F' || form == 'd' || form == 'D')) {
      const bool single = form == 'f' || form == 'F';
      at_ += 2;
      token.kind = single ? TokenKind::f32 : TokenKind::f64;
      token.bits = digits(16, single ? 8 : 16);
      if (at_ - begin != (single ? 10u : 18u)) fail("a number in hexadecimal has too few digits");
      return;
    }
    std::size_t end = at_;
    while (end < source_.size() && is_digit(source_[end])) ++end;
    if (end < source_.size() &&
        (source_[end] == '.' || source_[end] == 'e' || source_[end] == 'E')) {
      double value = 0;
      const auto [last, problem] =
          std::from_chars(source_.data() + at_, source_.data() + source_.size(), value);
      if (problem != std::errc()) fail("a decimal number that no f64 holds");
      at_ = static_cast<std::size_t>(last - source_.data());
      token.kind = TokenKind::f64;
      token.bits = std::bit_cast<std::uint64_t>(value);
      return;
    }
    token.kind = TokenKind::integer;
    int base = 10;
    if (look() == '0' && (form == 'x' || form == 'X'))
      base = 16, at_ += 2;
    else if (look() == '0' && (form == 'b' || form == 'B'))
      base = 2, at_ += 2;
    else if (look() == '0')
      base = 8;
    token.bits = digits(base, 64);
    if (look() == 'U' || look() == 'u') ++at_;
    if (is_name(look())) fail("a number runs into a name");
  }

  std::uint64_t digits(int base, std::size_t most) {
    std::uint64_t value = 0;
    const char* begin = source_.data() + at_;
    const char* end = begin + std::min(most, source_.size() - at_);
    const auto [last, problem] = std::from_chars(begin, end, value, base);
    if (problem != std::errc()) fail("a number that is none, or above 2^64");
    at_ += static_cast<std::size_t>(last - begin);
    return value;
  }

  std::string_view source_;
  const std::string& file_;
  std::size_t at_ = 0;
  std::uint32_t line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& file) {
  return Reader(source, file).read();
}

}  // namespace karat::ptx
