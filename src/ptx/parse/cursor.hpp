// Private: a place in a list of words, and what a parser asks there.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "parse/syntax.hpp"
#include "parse/token.hpp"

namespace karat::ptx {

class Cursor {
 public:
  /// @pre tokens ends with `end`, as tokenize() gives it
  Cursor(const std::vector<Token>& tokens, const std::string& file)
      : tokens_(tokens), file_(file) {}

  const Token& peek(std::size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& take() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool done() const { return peek().kind == TokenKind::end; }

  bool at(std::string_view text) const {
    const TokenKind kind = peek().kind;
    return peek().text == text && kind != TokenKind::text && kind != TokenKind::end;
  }
  bool take_if(std::string_view text) {
    const bool found = at(text);
    if (found) take();
    return found;
  }
  void require(std::string_view text) {
    if (!take_if(text)) fail("\"" + std::string(text) + "\" is missing before " + shown());
  }
  std::string require_word(const char* what) {
    if (peek().kind != TokenKind::word) fail(std::string(what) + " is missing before " + shown());
    return std::string(take().text);
  }
  std::uint64_t require_integer(const char* what) {
    if (peek().kind != TokenKind::integer)
      fail(std::string(what) + " is missing before " + shown());
    return take().bits;
  }

  std::string shown() const {
    return done() ? "the end of the file" : "\"" + std::string(peek().text.substr(0, 40)) + "\"";
  }
  [[noreturn]] void fail(const std::string& problem) const { fail_at(peek().line, problem); }
  [[noreturn]] void fail_at(std::uint32_t line, const std::string& problem) const {
    throw Error(ErrorKind::input_output, file_ + ":" + std::to_string(line), problem);
  }

  std::uint32_t line() const { return peek().line; }

 private:
  const std::vector<Token>& tokens_;
  const std::string& file_;
  std::size_t at_ = 0;
};

/// `.b32`: the type, if the next word is one.
std::optional<Type> take_type(Cursor& in);
/// `.align 16 .b8 name[128] = {1, 2}` after its state space, through the word before `,` `;` or
/// `)`.
/// @param limit largest size a variable may have
Variable take_variable(Cursor& in, Space space);
/// One operand of an instruction, names left unresolved.
Operand take_operand(Cursor& in, int depth = 0);
/// The body of a function, between its braces.
void take_body(Cursor& in, Function& function, const Module& module);

}  // namespace karat::ptx
