#include "parse/inline.hpp"

#include <algorithm>
#include <map>
#include <span>

namespace karat::ptx {
namespace {

constexpr std::size_t kMostInstructions = std::size_t{1} << 20;
constexpr std::size_t kDeepest = 32;

/// `call (results), name, (arguments)` in parts.
struct Call {
  std::string name;
  std::vector<Operand> handed;  ///< results, then arguments
};

bool is_call(const Instruction& each) { return each.opcode == "call" || each.opcode == "call.uni"; }

Call call_of(const Instruction& each) {
  Call call;
  for (const Operand& operand : each.operands) {
    if (operand.kind == OperandKind::list)
      call.handed.insert(call.handed.end(), operand.parts.begin(), operand.parts.end());
    if (operand.kind == OperandKind::function && call.name.empty()) call.name = operand.name;
  }
  return call;
}

const Function* function_named(const Module& module, const std::string& name) {
  const auto found = std::ranges::find(module.functions, name, &Function::name);
  return found == module.functions.end() ? nullptr : &*found;
}

/// Parameters stand in the brackets of loads and stores alone.
bool names_parameter(const Operand& operand) {
  return operand.kind == OperandKind::parameter ||
         std::ranges::any_of(operand.parts, names_parameter);
}
bool takes_an_address(const Function& function) {
  return std::ranges::any_of(function.body, [](const Instruction& each) {
    const bool moves = each.opcode.starts_with("ld.param") || each.opcode.starts_with("st.param");
    return !moves && !is_call(each) && std::ranges::any_of(each.operands, names_parameter);
  });
}

class Inliner {
 public:
  Inliner(const Module& module, Function& kernel) : module_(module), kernel_(kernel) {}

  void run() {
    const Function original = kernel_;
    kernel_.body.clear();
    kernel_.tables.assign(original.tables.size(), {});
    copy(original, {});
  }

 private:
  /// What the callee's names become: registers and local variables by place in the kernel's lists,
  /// parameters by the operands handed over.
  struct Names {
    std::uint32_t registers = 0, tables = 0;
    std::vector<std::uint32_t> variables;  ///< empty: the kernel's own
    std::span<const Operand> handed;
  };

  void copy(const Function& from, const Names& names) {
    const bool callee = !calls_.empty();
    std::vector<std::uint32_t> at(from.body.size() + 1);
    std::vector<std::size_t> mine, ends;  // places of copied instructions; of branches behind all
    for (std::size_t i = 0; i < from.body.size(); ++i) {
      at[i] = static_cast<std::uint32_t>(kernel_.body.size());
      Instruction each = from.body[i];
      if (callee) {
        each.guard += each.guarded ? names.registers : 0;
        for (Operand& operand : each.operands) rename(operand, names);
        if (each.opcode == "ret" || each.opcode == "ret.uni") {
          each.opcode = "bra";
          each.operands = {{.kind = OperandKind::label}};
          ends.push_back(kernel_.body.size());
          kernel_.body.push_back(std::move(each));
          continue;
        }
      }
      if (is_call(each) && expand(each)) continue;
      mine.push_back(kernel_.body.size());
      kernel_.body.push_back(std::move(each));
    }
    const auto end = static_cast<std::uint32_t>(kernel_.body.size());
    at[from.body.size()] = end;
    for (const std::size_t place : mine)
      for (Operand& operand : kernel_.body[place].operands)
        if (operand.kind == OperandKind::label) operand.index = at[operand.index];
    for (const std::size_t place : ends) kernel_.body[place].operands[0].index = end;
    for (const auto& table : from.tables) {
      auto& targets =
          kernel_.tables[names.tables + static_cast<std::size_t>(&table - from.tables.data())];
      for (const std::uint32_t each : table) targets.push_back(at[each]);
    }
  }

  /// @return false where the call must stay
  bool expand(const Instruction& each) {
    const Call call = call_of(each);
    const Function* const callee = function_named(module_, call.name);
    if (callee == nullptr || callee->entry) return false;
    if (call.name == "vprintf" && callee->body.empty()) return print_nothing(each, call);
    if (callee->body.empty() || !callee->handed.empty() ||
        callee->parameters.size() != call.handed.size() || takes_an_address(*callee) ||
        calls_.size() >= kDeepest || std::ranges::find(calls_, call.name) != calls_.end() ||
        kernel_.body.size() + callee->body.size() > kMostInstructions ||
        !std::ranges::all_of(call.handed, in_memory))
      return false;
    Names names{.registers = static_cast<std::uint32_t>(kernel_.registers.size()),
                .tables = static_cast<std::uint32_t>(kernel_.tables.size()),
                .variables = add_variables(*callee),
                .handed = call.handed};
    kernel_.registers.insert(kernel_.registers.end(), callee->registers.begin(),
                             callee->registers.end());
    kernel_.tables.resize(kernel_.tables.size() + callee->tables.size());
    const std::size_t skip = kernel_.body.size();
    if (each.guarded) {  // the lanes it does not take go around it
      Instruction around = each;
      around.opcode = "bra";
      around.guard_negated = !each.guard_negated;
      around.operands = {{.kind = OperandKind::label}};
      kernel_.body.push_back(std::move(around));
    }
    calls_.push_back(call.name);
    copy(*callee, names);
    calls_.pop_back();
    if (each.guarded)
      kernel_.body[skip].operands[0].index = static_cast<std::uint32_t>(kernel_.body.size());
    return true;
  }

  bool print_nothing(const Instruction& each, const Call& call) {
    if (call.handed.size() != 3 || !in_memory(call.handed[0])) return false;
    Instruction store = each;
    store.opcode = "st.param.b32";
    store.operands = {{.kind = OperandKind::address, .parts = {call.handed[0]}},
                      {.kind = OperandKind::immediate}};
    kernel_.body.push_back(std::move(store));
    return true;
  }

  static bool in_memory(const Operand& operand) {
    return operand.kind == OperandKind::local_variable;
  }

  /// Local variables are new in each copy, shared ones stand once.
  std::vector<std::uint32_t> add_variables(const Function& callee) {
    std::vector<std::uint32_t> places;
    for (std::size_t i = 0; i < callee.variables.size(); ++i) {
      const Variable& each = callee.variables[i];
      const auto next = static_cast<std::uint32_t>(kernel_.variables.size());
      const auto place = each.space == Space::shared
                             ? shared_.emplace(std::pair(callee.name, i), next).first->second
                             : next;
      if (place == next) kernel_.variables.push_back(each);
      places.push_back(place);
    }
    return places;
  }

  static void rename(Operand& operand, const Names& names) {
    for (Operand& part : operand.parts) rename(part, names);
    if (operand.kind == OperandKind::reg) operand.index += names.registers;
    if (operand.kind == OperandKind::table) operand.index += names.tables;
    if (operand.kind == OperandKind::local_variable) operand.index = names.variables[operand.index];
    if (operand.kind == OperandKind::parameter) {
      const Operand& handed = names.handed[operand.index];
      operand.kind = handed.kind;
      operand.index = handed.index;
      operand.name = handed.name;
    }
  }

  const Module& module_;
  Function& kernel_;
  std::vector<std::string> calls_;  ///< those we are in
  std::map<std::pair<std::string, std::size_t>, std::uint32_t> shared_;
};

}  // namespace

void inline_calls(const Module& module, Function& kernel) {
  if (std::ranges::any_of(kernel.body, is_call)) Inliner(module, kernel).run();
}

}  // namespace karat::ptx
