// The statements of a function: registers, variables, labels, instructions, scopes.
#include "parse/cursor.hpp"
#include "parse/scope.hpp"

namespace karat::ptx {
namespace {

constexpr int kDeepest = 64;

class Body {
 public:
  Body(Cursor& in, Function& function, const Module& module)
      : in_(in), function_(function), module_(module) {}

  void read() {
    for (const Register& each : function_.handed) scopes_.declare_register(0, each.name, each.type);
    block(0, 0);
    for (std::size_t i = 0; i < function_.body.size(); ++i) {
      Instruction& each = function_.body[i];
      if (each.guarded) each.guard = guard_of(each, scope_of_[i]);
      for (Operand& operand : each.operands) resolve(operand, scope_of_[i], each.at.line);
    }
    for (const Table& each : tables_) function_.tables.push_back(targets_of(each));
  }

 private:
  void block(std::size_t scope, int depth) {
    if (depth > kDeepest) in_.fail("braces are nested too deep");
    while (!in_.take_if("}")) {
      if (in_.done()) in_.fail("a brace is never closed");
      statement(scope, depth);
    }
  }

  void statement(std::size_t scope, int depth) {
    if (in_.take_if("{")) {
      block(scopes_.open(scope), depth + 1);
    } else if (in_.take_if(";")) {
    } else if (in_.peek().kind == TokenKind::directive) {
      directive(scope);
    } else if (in_.peek().kind == TokenKind::word && in_.peek(1).text == ":" &&
               in_.peek(1).kind == TokenKind::sign) {
      label(scope);
    } else {
      instruction(scope);
    }
  }

  void directive(std::size_t scope) {
    static constexpr struct {
      std::string_view name;
      Space space;
    } kSpaces[] = {{".shared", Space::shared},  {".shared::cta", Space::shared},
                   {".local", Space::local},    {".param", Space::param},
                   {".const", Space::constant}, {".global", Space::global}};
    if (in_.take_if(".reg")) return registers(scope);
    if (in_.take_if(".loc")) return location();
    if (in_.take_if(".pragma")) {
      while (!in_.done() && !in_.at(";")) in_.take();
      return in_.require(";");
    }
    for (const auto& row : kSpaces)
      if (in_.take_if(row.name)) return variables(scope, row.space);
    in_.fail(std::string(in_.peek().text) + " is not supported in a function");
  }

  void registers(std::size_t scope) {
    if (in_.at(".v2") || in_.at(".v4")) in_.fail("registers that are vectors are not supported");
    const auto type = take_type(in_);
    if (!type) in_.fail("a register's type is missing before " + in_.shown());
    do {
      const std::string name = in_.require_word("a register's name");
      bool fresh = true;
      if (in_.take_if("<")) {
        const std::uint64_t count = in_.require_integer("a number of registers");
        in_.require(">");
        fresh = scopes_.declare_range(scope, name, count, *type);
      } else {
        fresh = scopes_.declare_register(scope, name, *type);
      }
      if (!fresh) in_.fail(name + " is declared twice");
    } while (in_.take_if(","));
    in_.require(";");
  }

  void variables(std::size_t scope, Space space) {
    do {
      Variable variable = take_variable(in_, space);
      const auto index = static_cast<std::uint32_t>(function_.variables.size());
      if (!scopes_.declare_variable(scope, variable.name, index))
        in_.fail(variable.name + " is declared twice");
      function_.variables.push_back(std::move(variable));
    } while (in_.take_if(","));
    in_.require(";");
  }

  /// .loc file line column [, function_name label [+ n], inlined_at file line column]: the place in
  /// the file itself counts, not where it was inlined.
  void location() {
    source_file_ = static_cast<std::uint32_t>(in_.require_integer("a file's number"));
    source_line_ = static_cast<std::uint32_t>(in_.require_integer("a line"));
    in_.require_integer("a column");
    const std::uint32_t line = in_.line();
    while (in_.take_if(",")) {
      while (!in_.done() && !in_.at(",") && !in_.at(";") && in_.line() == line) in_.take();
    }
    in_.take_if(";");
  }

  void label(std::size_t scope) {
    const std::string name = in_.require_word("a label");
    in_.require(":");
    if (in_.take_if(".branchtargets")) return table(scope, name);
    if (in_.take_if(".callprototype") || in_.take_if(".calltargets"))  // of calls by address
      while (!in_.done() && !in_.at(";")) in_.take();
    if (!scopes_.declare_label(scope, name, static_cast<std::uint32_t>(function_.body.size())))
      in_.fail(name + " is declared twice");
  }

  void table(std::size_t scope, const std::string& name) {
    Table each{.scope = scope, .line = in_.line()};
    do {
      each.labels.push_back(in_.require_word("a label"));
    } while (in_.take_if(","));
    in_.require(";");
    if (!scopes_.declare_table(scope, name, static_cast<std::uint32_t>(tables_.size())))
      in_.fail(name + " is declared twice");
    tables_.push_back(std::move(each));
  }

  struct Table {
    std::size_t scope = 0;
    std::uint32_t line = 0;
    std::vector<std::string> labels;
  };
  std::vector<std::uint32_t> targets_of(const Table& table) {
    std::vector<std::uint32_t> targets;
    for (const std::string& label : table.labels) {
      const auto found = scopes_.find(table.scope, label, function_);
      if (!found || found->kind != OperandKind::label)
        in_.fail_at(table.line, label + " is no label");
      targets.push_back(found->index);
    }
    return targets;
  }

  void instruction(std::size_t scope) {
    Instruction each{.at = {in_.line(), source_file_, source_line_}};
    if (in_.take_if("@")) {
      each.guarded = true;
      each.guard_negated = in_.take_if("!");
      each.operands.push_back({.kind = OperandKind::name, .name = in_.require_word("a predicate")});
    }
    each.opcode = in_.require_word("an instruction");
    while (!in_.at(";")) {
      each.operands.push_back(take_operand(in_));
      if (!in_.take_if(",")) break;
    }
    in_.require(";");
    function_.body.push_back(std::move(each));
    scope_of_.push_back(scope);
  }

  std::uint32_t guard_of(Instruction& each, std::size_t scope) {
    const Operand named = each.operands.front();
    each.operands.erase(each.operands.begin());
    const auto found = scopes_.find(scope, named.name, function_);
    if (!found || found->kind != OperandKind::reg ||
        function_.registers[found->index].type.kind != TypeClass::predicate)
      in_.fail_at(each.at.line, "@" + named.name + " is no predicate");
    return found->index;
  }

  void resolve(Operand& operand, std::size_t scope, std::uint32_t line) {
    for (Operand& part : operand.parts) resolve(part, scope, line);
    if (operand.kind != OperandKind::name) return;
    if (const auto found = scopes_.find(scope, operand.name, function_)) {
      operand.kind = found->kind;
      operand.index = found->index;
    } else if (index_of(function_.parameters, operand.name, operand.index)) {
      operand.kind = OperandKind::parameter;
    } else if (index_of(module_.variables, operand.name, operand.index)) {
      operand.kind = OperandKind::variable;
    } else if (operand.name.starts_with('%')) {
      operand.kind = OperandKind::special;  // refused later unless it is one
    } else if (operand.name == "WARP_SZ") {
      operand.kind = OperandKind::immediate;
      operand.bits += 32;
    } else if (is_function(operand.name)) {
      operand.kind = OperandKind::function;
    } else {
      in_.fail_at(line, operand.name + " is declared nowhere");
    }
  }

  static bool index_of(const std::vector<Variable>& list, const std::string& name,
                       std::uint32_t& index) {
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (list[i].name != name) continue;
      index = static_cast<std::uint32_t>(i);
      return true;
    }
    return false;
  }

  bool is_function(const std::string& name) const {
    if (name == function_.name) return true;
    for (const Function& each : module_.functions)
      if (each.name == name) return true;
    return false;
  }

  Cursor& in_;
  Function& function_;
  const Module& module_;
  Scopes scopes_;
  std::vector<std::size_t> scope_of_;
  std::vector<Table> tables_;
  std::uint32_t source_file_ = 0, source_line_ = 0;
};

}  // namespace

void take_body(Cursor& in, Function& function, const Module& module) {
  Body(in, function, module).read();
}

}  // namespace karat::ptx
