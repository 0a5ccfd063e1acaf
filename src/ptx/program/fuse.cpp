// ptxas's fusion of products with sums, by the rule that docs/run.md states.
#include "program/fuse.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <unordered_map>

namespace karat::ptx {
namespace {

/// mul, add and sub of one type that may be joined: without a rounding modifier.
struct Form {
  enum class Kind : std::uint8_t { none, product, sum, difference, negation };
  Kind kind = Kind::none;
  std::string_view type;
  bool flushes = false, saturates = false;
  bool sums() const { return kind == Kind::sum || kind == Kind::difference; }
};

bool take(std::string_view& text, std::string_view part) {
  if (!text.starts_with(part)) return false;
  text.remove_prefix(part.size());
  return true;
}

Form form_of(const Instruction& each) {
  static constexpr std::string_view kTypes[] = {"f32", "f64", "f16", "f16x2", "bf16", "bf16x2"};
  std::string_view text = each.opcode;
  Form form;
  form.kind = take(text, "mul")   ? Form::Kind::product
              : take(text, "add") ? Form::Kind::sum
              : take(text, "sub") ? Form::Kind::difference
              : take(text, "neg") ? Form::Kind::negation
                                  : Form::Kind::none;
  form.flushes = take(text, ".ftz");
  form.saturates = form.sums() && take(text, ".sat");
  const bool known = take(text, ".") && std::ranges::find(kTypes, text) != std::end(kTypes);
  const std::size_t operands = form.kind == Form::Kind::negation ? 2 : 3;
  if (!known || each.operands.size() != operands) return {};
  form.type = text;
  return form;
}

template <typename Each>
void for_registers(const Operand& operand, Each each) {
  if (operand.kind == OperandKind::reg) each(operand.index);
  for (const Operand& part : operand.parts) for_registers(part, each);
}

/// Whether the first operand is written: not an address, and no number of a barrier.
bool writes_first(const Instruction& each) {
  if (each.operands.empty() || each.operands[0].kind == OperandKind::address) return false;
  for (const char* name : {"bar.", "barrier.", "nanosleep", "st", "red.", "bra", "brx"})
    if (each.opcode.starts_with(name)) return false;
  return true;
}

/// Of operands that are read. The accumulator of wgmma is read and written.
std::size_t first_read(const Instruction& each) {
  return writes_first(each) && !each.opcode.starts_with("wgmma.mma_async") ? 1 : 0;
}

/// What a register holds: a value, or minus it.
struct Holding {
  std::size_t value = 0;
  bool negative = false;
  friend bool operator==(const Holding&, const Holding&) = default;
};

struct Value {
  bool product = false;
  std::size_t at = 0;  ///< its instruction
  Form form;
  Operand factors[2];
  std::optional<Holding> held[2];  ///< what those held then; nothing for constants
  std::vector<std::size_t> sums;   ///< that take it, by instruction
  std::size_t others = 0;          ///< other uses, those of other blocks included
  std::size_t uses() const { return sums.size() + others; }
};

/// Of one basic block: what registers hold, step by step.
class Holdings {
 public:
  Holding of(std::uint32_t reg) {
    const auto [found, fresh] = now_.try_emplace(reg);
    if (fresh) found->second = {new_value(), false};
    return found->second;
  }
  void put(std::uint32_t reg, Holding holding) { now_[reg] = holding; }
  std::size_t new_value() {
    values.emplace_back();
    return values.size() - 1;
  }
  /// A register that holds something now.
  std::optional<std::uint32_t> who_holds(Holding wanted) const {
    for (const auto& [reg, holding] : now_)
      if (holding == wanted) return reg;
    return std::nullopt;
  }
  const std::map<std::uint32_t, Holding>& now() const { return now_; }

  std::vector<Value> values;

 private:
  std::map<std::uint32_t, Holding> now_;
};

/// mov and neg of a product are the product.
bool passes_on(const Instruction& each, const Form& form) {
  if (each.guarded || each.operands.size() != 2 || each.operands[0].kind != OperandKind::reg ||
      each.operands[1].kind != OperandKind::reg)
    return false;
  return form.kind == Form::Kind::negation || each.opcode == "mov.f32" ||
         each.opcode == "mov.b32" || each.opcode == "mov.f64" || each.opcode == "mov.b64" ||
         each.opcode == "mov.b16";
}

class Block {
 public:
  Block(Function& function, std::size_t begin, std::size_t end, const std::set<std::uint32_t>& live)
      : function_(function), begin_(begin), end_(end), live_(live) {}

  /// The sums of the block that take a product in, by instruction.
  std::map<std::size_t, Holding> joined() {
    for (std::size_t i = begin_; i < end_; ++i) look(i);
    for (const auto& [reg, holding] : holdings_.now())
      if (live_.contains(reg)) ++holdings_.values[holding.value].others;
    std::map<std::size_t, Holding> joined;
    std::set<std::size_t> seen;
    for (std::size_t i = begin_; i < end_; ++i) {
      const auto found = sums_.find(i);
      if (found == sums_.end()) continue;
      for (const auto& operand : found->second)
        if (operand && goes_in(*operand, joined, seen)) {
          joined.emplace(i, *operand);
          break;
        }
      seen.insert(i);
    }
    return joined;
  }
  const Value& value(Holding holding) const { return holdings_.values[holding.value]; }
  /// What the operands of a sum are.
  const std::array<std::optional<Holding>, 2>& operands(std::size_t sum) const {
    return sums_.at(sum);
  }

 private:
  std::optional<Holding> held(const Operand& operand) {
    if (operand.kind != OperandKind::reg) return std::nullopt;
    return holdings_.of(operand.index);
  }

  void look(std::size_t i) {
    const Instruction& each = function_.body[i];
    const Form form = form_of(each);
    if (passes_on(each, form)) {
      Holding holding = holdings_.of(each.operands[1].index);
      holding.negative ^= form.kind == Form::Kind::negation;
      return holdings_.put(each.operands[0].index, holding);
    }
    const bool writes = writes_first(each);
    if (form.sums()) sums_[i] = {held(each.operands[1]), held(each.operands[2])};
    for (std::size_t o = first_read(each); o < each.operands.size(); ++o)
      for_registers(each.operands[o], [&](std::uint32_t reg) {
        Value& value = holdings_.values[holdings_.of(reg).value];
        const bool joins = form.sums() && value.product && value.form.type == form.type &&
                           value.form.flushes == form.flushes;
        if (joins)
          value.sums.push_back(i);
        else
          ++value.others;
      });
    Value product{
        .product = form.kind == Form::Kind::product && !each.guarded, .at = i, .form = form};
    for (std::size_t o = 0; o < 2 && product.product; ++o) {
      product.factors[o] = each.operands[o + 1];
      product.held[o] = held(each.operands[o + 1]);
    }
    if (!writes) return;
    for_registers(each.operands[0], [&](std::uint32_t reg) {
      if (each.guarded) ++holdings_.values[holdings_.of(reg).value].others;  // it may stay
      const std::size_t number = holdings_.new_value();
      holdings_.values[number] = product;
      holdings_.put(reg, {number, false});
    });
  }

  bool same_factors(const Value& a, const Value& b) const {
    const auto same = [&](std::size_t x, std::size_t y) {
      const Operand &left = a.factors[x], &right = b.factors[y];
      if (a.held[x] || b.held[y]) return a.held[x] == b.held[y];
      return left.kind == right.kind && left.bits == right.bits;
    };
    return (same(0, 0) && same(1, 1)) || (same(0, 1) && same(1, 0));
  }

  /// A product goes into its sums if it goes into all of them and has no other use. Of two products
  /// the one with fewer uses has the right of way, then the first one.
  bool goes_in(Holding product, const std::map<std::size_t, Holding>& joined,
               const std::set<std::size_t>& seen) const {
    const Value& own = value(product);
    if (!own.product || own.others > 0) return false;
    return std::ranges::all_of(own.sums, [&](std::size_t sum) {
      const auto& [first, second] = sums_.at(sum);
      if (first && second && first->value == second->value) return false;
      const auto& other = first && first->value == product.value ? second : first;
      const Value* const rival = other && value(*other).product ? &value(*other) : nullptr;
      const bool free = rival != nullptr && rival->others == 0;
      if (free && same_factors(own, *rival)) return false;
      if (seen.contains(sum)) {
        const auto found = joined.find(sum);
        return found != joined.end() && found->second.value == product.value;
      }
      return !free || own.uses() <= rival->uses();
    });
  }

  Function& function_;
  std::size_t begin_, end_;
  const std::set<std::uint32_t>& live_;
  Holdings holdings_;
  std::map<std::size_t, std::array<std::optional<Holding>, 2>> sums_;
};

Operand negative(Operand operand) {
  if (operand.kind == OperandKind::reg)
    operand.negated = !operand.negated;
  else
    operand.bits ^= operand.kind == OperandKind::f64 ? std::uint64_t{1} << 63 : 0x80000000u;
  return operand;
}

class Fusion {
 public:
  explicit Fusion(Function& function) : function_(function) {}

  std::uint64_t run() {
    const std::vector<std::size_t> starts = block_starts();
    const std::set<std::uint32_t> live = live_between(starts);
    for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
      Block block(function_, starts[b], starts[b + 1], live);
      for (const auto& [sum, product] : block.joined()) {
        rewrite(block, sum, product);
        ++joined_;
      }
    }
    insert_copies();
    return joined_;
  }

 private:
  std::vector<std::size_t> block_starts() const {
    std::set<std::size_t> starts{0, function_.body.size()};
    for (std::size_t i = 0; i < function_.body.size(); ++i) {
      const Instruction& each = function_.body[i];
      const bool leaves = each.guarded && (each.opcode == "ret" || each.opcode == "exit");
      if (!each.opcode.starts_with("bra") && !each.opcode.starts_with("brx") && !leaves) continue;
      starts.insert(i + 1);
      for (const Operand& operand : each.operands) {
        if (operand.kind == OperandKind::label) starts.insert(operand.index);
        if (operand.kind == OperandKind::table)
          starts.insert(function_.tables[operand.index].begin(),
                        function_.tables[operand.index].end());
      }
    }
    return {starts.begin(), starts.end()};
  }

  /// Registers that some block reads before it writes them.
  std::set<std::uint32_t> live_between(const std::vector<std::size_t>& starts) const {
    std::set<std::uint32_t> live;
    for (std::size_t b = 0; b + 1 < starts.size(); ++b) {
      std::set<std::uint32_t> written;
      for (std::size_t i = starts[b]; i < starts[b + 1]; ++i) {
        const Instruction& each = function_.body[i];
        const bool writes = writes_first(each);
        const auto reads = [&](std::uint32_t reg) {
          if (!written.contains(reg)) live.insert(reg);
        };
        for (std::size_t o = first_read(each); o < each.operands.size(); ++o)
          for_registers(each.operands[o], reads);
        if (!writes) continue;
        if (each.guarded) for_registers(each.operands[0], reads);
        for_registers(each.operands[0], [&](std::uint32_t reg) { written.insert(reg); });
      }
    }
    return live;
  }

  void rewrite(const Block& block, std::size_t sum, Holding product) {
    Instruction& each = function_.body[sum];
    const Form form = form_of(each);
    const auto& operands = block.operands(sum);
    const bool first = operands[0] && operands[0]->value == product.value;
    const Value& value = block.value(product);
    Operand c = each.operands[first ? 2 : 1];
    bool minus = product.negative;
    if (form.kind == Form::Kind::difference) {  // p - c, c - p
      if (first)
        c = negative(c);
      else
        minus = !minus;
    }
    Operand a = factor(value, 0, sum), b = factor(value, 1, sum);
    if (minus) a = negative(a);
    each.opcode = std::string("fma.rn") + (form.flushes ? ".ftz" : "") +
                  (form.saturates ? ".sat" : "") + "." + std::string(value.form.type);
    each.operands = {each.operands[0], a, b, c};
  }

  /// A factor as the sum can name it: its register where nothing has been written there since, else
  /// a copy made behind the product.
  Operand factor(const Value& product, std::size_t which, std::size_t sum) {
    const Operand& operand = product.factors[which];
    if (operand.kind != OperandKind::reg) return operand;
    for (std::size_t i = product.at; i < sum; ++i) {
      bool written = false;
      if (writes_first(function_.body[i]))
        for_registers(function_.body[i].operands[0],
                      [&](std::uint32_t reg) { written |= reg == operand.index; });
      if (written) return copy_of(product.at, operand);
    }
    return operand;
  }

  /// Just before the product, where the register still holds the factor.
  Operand copy_of(std::size_t product, const Operand& operand) {
    const auto [found, fresh] = copies_.try_emplace({product, operand.index});
    if (fresh) {
      const Type type = function_.registers[operand.index].type;
      found->second = static_cast<std::uint32_t>(function_.registers.size());
      function_.registers.push_back({"%copy" + std::to_string(found->second), type});
    }
    Operand copy = operand;
    copy.index = found->second;
    return copy;
  }

  void insert_copies() {
    if (copies_.empty()) return;
    std::vector<Instruction> body;
    std::vector<std::uint32_t> moved;  // where each instruction is now, its copies before it
    auto next = copies_.begin();
    for (std::size_t i = 0; i < function_.body.size(); ++i) {
      moved.push_back(static_cast<std::uint32_t>(body.size()));
      for (; next != copies_.end() && next->first.first == i; ++next) {
        const std::uint8_t bytes = function_.registers[next->second].type.bytes;
        Operand to{.kind = OperandKind::reg, .index = next->second};
        Operand from{.kind = OperandKind::reg, .index = next->first.second};
        body.push_back({.opcode = bytes == 8   ? "mov.b64"
                                  : bytes == 4 ? "mov.b32"
                                               : "mov.b16",
                        .operands = {to, from},
                        .at = function_.body[i].at});
      }
      body.push_back(std::move(function_.body[i]));
    }
    moved.push_back(static_cast<std::uint32_t>(body.size()));
    for (Instruction& each : body)
      for (Operand& operand : each.operands)
        if (operand.kind == OperandKind::label) operand.index = moved[operand.index];
    for (auto& table : function_.tables)
      for (std::uint32_t& target : table) target = moved[target];
    function_.body = std::move(body);
  }

  Function& function_;
  /// Of factors that are overwritten: by product and register, the copy's register.
  std::map<std::pair<std::size_t, std::uint32_t>, std::uint32_t> copies_;
  std::uint64_t joined_ = 0;
};

}  // namespace

std::uint64_t fuse_products(Function& function) { return Fusion(function).run(); }

}  // namespace karat::ptx
