// Looking up names from the innermost scope outwards.
#include "parse/scope.hpp"

#include <charconv>

namespace karat::ptx {

std::size_t Scopes::open(std::size_t parent) {
  scopes_.push_back({.parent = parent});
  return scopes_.size() - 1;
}

bool Scopes::declare_register(std::size_t scope, const std::string& name, Type type) {
  return scopes_[scope].single.emplace(name, type).second;
}
bool Scopes::declare_range(std::size_t scope, const std::string& prefix, std::uint64_t count,
                           Type type) {
  return scopes_[scope].ranges.emplace(prefix, Range{count, type}).second;
}
bool Scopes::declare_label(std::size_t scope, const std::string& name, std::uint32_t instruction) {
  return scopes_[scope].labels.emplace(name, instruction).second;
}
bool Scopes::declare_table(std::size_t scope, const std::string& name, std::uint32_t index) {
  return scopes_[scope].tables.emplace(name, index).second;
}
bool Scopes::declare_variable(std::size_t scope, const std::string& name, std::uint32_t index) {
  return scopes_[scope].variables.emplace(name, index).second;
}

std::optional<Type> Scopes::register_type(const Scope& scope, const std::string& name) {
  if (const auto found = scope.single.find(name); found != scope.single.end()) return found->second;
  // %r12 is of the range %r<13>, or the third of %r1<3>.
  for (std::size_t split = name.size();
       split > 1 && name[split - 1] >= '0' && name[split - 1] <= '9'; --split) {
    const auto range = scope.ranges.find(name.substr(0, split - 1));
    if (range == scope.ranges.end()) continue;
    if (name[split - 1] == '0' && split < name.size()) continue;  // "%r01" is no register
    std::uint64_t number = 0;
    const auto read = std::from_chars(name.data() + split - 1, name.data() + name.size(), number);
    if (read.ec == std::errc() && number < range->second.count) return range->second.type;
  }
  return std::nullopt;
}

std::optional<Operand> Scopes::find(std::size_t scope, const std::string& name,
                                    Function& function) {
  for (;; scope = scopes_[scope].parent) {
    Scope& here = scopes_[scope];
    if (const auto type = register_type(here, name)) {
      const auto [number, fresh] =
          here.numbers.emplace(name, static_cast<std::uint32_t>(function.registers.size()));
      if (fresh) function.registers.push_back({name, *type});
      return Operand{.kind = OperandKind::reg, .index = number->second};
    }
    if (const auto label = here.labels.find(name); label != here.labels.end())
      return Operand{.kind = OperandKind::label, .index = label->second};
    if (const auto table = here.tables.find(name); table != here.tables.end())
      return Operand{.kind = OperandKind::table, .index = table->second};
    if (const auto variable = here.variables.find(name); variable != here.variables.end())
      return Operand{.kind = OperandKind::local_variable, .index = variable->second};
    if (scope == 0) return std::nullopt;
  }
}

}  // namespace karat::ptx
