#include "program/fuse.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace karat::ptx {
namespace {

/// A product that a later sum of its block may take in.
struct Product {
  Operand a, b;
  bool flushes = false;
};

struct Form {
  bool sum = false, difference = false, product = false, flushes = false, saturates = false;
};

Form form_of(const Instruction& each) {
  const std::string& opcode = each.opcode;
  Form form{.flushes = opcode.find(".ftz") != std::string::npos};
  form.product = opcode == "mul.f32" || opcode == "mul.ftz.f32";
  const auto is = [&](const std::string& name) {
    return opcode == name + ".f32" || opcode == name + ".ftz.f32" || opcode == name + ".sat.f32" ||
           opcode == name + ".ftz.sat.f32";
  };
  form.sum = is("add");
  form.difference = is("sub");
  form.saturates = opcode.find(".sat") != std::string::npos;
  return form;
}

template <typename Each>
void for_registers(const Operand& operand, Each each) {
  if (operand.kind == OperandKind::reg) each(operand.index);
  for (const Operand& part : operand.parts) for_registers(part, each);
}

class Fusion {
 public:
  explicit Fusion(Function& function) : function_(function) {
    count_uses();
    find_blocks();
  }

  std::uint64_t run() {
    for (std::size_t i = 0; i < function_.body.size(); ++i) {
      if (starts_.contains(static_cast<std::uint32_t>(i))) products_.clear();
      visit(function_.body[i]);
    }
    return joined_;
  }

 private:
  /// Operands that an instruction reads: all but the first, and addresses and vectors anywhere.
  void count_uses() {
    for (const Instruction& each : function_.body)
      for (std::size_t i = 1; i < each.operands.size(); ++i)
        for_registers(each.operands[i], [&](std::uint32_t reg) { ++uses_[reg]; });
  }

  void find_blocks() {
    for (std::size_t i = 0; i < function_.body.size(); ++i) {
      const Instruction& each = function_.body[i];
      const bool leaves = each.guarded && (each.opcode == "ret" || each.opcode == "exit");
      if (!each.opcode.starts_with("bra") && !leaves) continue;
      starts_.insert(static_cast<std::uint32_t>(i + 1));
      for (const Operand& operand : each.operands)
        if (operand.kind == OperandKind::label) starts_.insert(operand.index);
    }
  }

  void visit(Instruction& each) {
    const Form form = form_of(each);
    if ((form.sum || form.difference) && each.operands.size() == 3) join(each, form);
    forget_what_it_writes(each);
    if (!form.product || each.guarded || each.operands.size() != 3) return;
    const Operand& d = each.operands[0];
    const bool reads_itself = reads(each.operands[1], d.index) || reads(each.operands[2], d.index);
    if (d.kind == OperandKind::reg && !reads_itself)
      products_[d.index] = {each.operands[1], each.operands[2], form.flushes};
  }

  static bool reads(const Operand& operand, std::uint32_t reg) {
    return operand.kind == OperandKind::reg && operand.index == reg;
  }

  const Product* product_of(const Operand& operand, bool flushes) const {
    if (operand.kind != OperandKind::reg) return nullptr;
    const auto found = products_.find(operand.index);
    return found != products_.end() && found->second.flushes == flushes ? &found->second : nullptr;
  }

  void join(Instruction& each, Form form) {
    const Operand left = each.operands[1], right = each.operands[2];
    const Product* const first = product_of(left, form.flushes);
    const Product* const second = product_of(right, form.flushes);
    if (first == nullptr && second == nullptr) return;
    // Of two products the one with no other use is joined, the first if both have none; neither if
    // both have others.
    bool take_first = first != nullptr;
    if (first != nullptr && second != nullptr) {
      take_first = uses_[left.index] == 1;
      if (left.index == right.index || (!take_first && uses_[right.index] != 1)) return;
    }
    const Product product = take_first ? *first : *second;
    Operand a = product.a, c = take_first ? right : left;
    // a*b - c and c - a*b: the sign goes to c or to a.
    if (form.difference) (take_first ? c : a) = negative(take_first ? c : a);
    each.opcode = std::string("fma.rn") + (form.flushes ? ".ftz" : "") +
                  (form.saturates ? ".sat" : "") + ".f32";
    each.operands = {each.operands[0], a, product.b, c};
    ++joined_;
  }

  static Operand negative(Operand operand) {
    if (operand.kind == OperandKind::reg)
      operand.negated = !operand.negated;
    else
      operand.bits ^= operand.kind == OperandKind::f64 ? std::uint64_t{1} << 63 : 0x80000000u;
    return operand;
  }

  /// Registers an instruction may write: its first operand, vectors and pairs included.
  void forget_what_it_writes(const Instruction& each) {
    if (each.operands.empty() || each.operands[0].kind == OperandKind::address) return;
    for_registers(each.operands[0], [&](std::uint32_t reg) {
      products_.erase(reg);
      std::erase_if(products_, [&](const auto& entry) {
        return reads(entry.second.a, reg) || reads(entry.second.b, reg);
      });
    });
  }

  Function& function_;
  std::unordered_map<std::uint32_t, std::uint64_t> uses_;
  std::unordered_set<std::uint32_t> starts_;
  std::unordered_map<std::uint32_t, Product> products_;
  std::uint64_t joined_ = 0;
};

}  // namespace

std::uint64_t fuse_products(Function& function) { return Fusion(function).run(); }

}  // namespace karat::ptx
