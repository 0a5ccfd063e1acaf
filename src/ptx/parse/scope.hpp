// Private: names inside a function. Braces open scopes; a name may be used before the line that
// declares it (inline assembly repeats its labels and registers in braces of its own).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "parse/syntax.hpp"

namespace karat::ptx {

class Scopes {
 public:
  Scopes() : scopes_(1) {}

  std::size_t open(std::size_t parent);
  /// All say whether the name was free in that scope.
  bool declare_register(std::size_t scope, const std::string& name, Type type);
  bool declare_range(std::size_t scope, const std::string& prefix, std::uint64_t count, Type type);
  bool declare_label(std::size_t scope, const std::string& name, std::uint32_t instruction);
  bool declare_table(std::size_t scope, const std::string& name, std::uint32_t index);
  bool declare_variable(std::size_t scope, const std::string& name, std::uint32_t index);

  /// What `name` is where it is used: a register, a label or a local variable; nothing if it is
  /// none of them. Registers are numbered as they are met.
  std::optional<Operand> find(std::size_t scope, const std::string& name, Function& function);

 private:
  struct Range {
    std::uint64_t count;
    Type type;
  };
  struct Scope {
    std::size_t parent = 0;
    std::unordered_map<std::string, Type> single;
    std::unordered_map<std::string, Range> ranges;
    std::unordered_map<std::string, std::uint32_t> numbers;  ///< of registers met
    std::unordered_map<std::string, std::uint32_t> labels;
    std::unordered_map<std::string, std::uint32_t> tables;
    std::unordered_map<std::string, std::uint32_t> variables;
  };

  static std::optional<Type> register_type(const Scope& scope, const std::string& name);

  std::vector<Scope> scopes_;
};

}  // namespace karat::ptx
