// Private: what decoding an instruction needs: places for registers and constants, and the list of
// micro-operations to add to.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "program/layout.hpp"
#include "program/program.hpp"
#include "units/opcode.hpp"

namespace karat::ptx {

/// Base register plus offset, or an offset alone.
struct AddressOperand {
  Place base = kNowhere;
  bool wide = false;  ///< the base has 64 bits
  std::int64_t offset = 0;
};

class Decoder {
 public:
  Decoder(Program& program, VariableAddresses of_module, VariableAddresses of_function);

  /// All instructions. @throws Error(input_output) "file:12: opcode: why it is not supported"
  void decode_all();

  const Instruction& instruction() const { return *instruction_; }
  std::span<const Operand> operands() const { return instruction_->operands; }
  const Operand& operand(std::size_t i) const;
  void require_operands(std::size_t least, std::size_t most) const;
  Program& program() { return program_; }
  int architecture() const;  ///< 90 of sm_90a

  /// Lanes of `bits` (32 or 64) that hold the operand's value: a register, or a constant.
  Place read(const Operand& operand, int bits);
  /// A register's lanes. `_` gives a place nobody reads.
  Place write(const Operand& operand, int bits);
  /// A predicate register; for `_` a place nobody reads.
  Place write_predicate(const Operand& operand);
  /// A predicate's value: of `!p` its inverse.
  Place read_predicate(const Operand& operand);
  AddressOperand address(const Operand& operand);
  /// Lanes of 32 bits whose value the address is in a 32-bit space.
  Place address32(const Operand& operand);
  /// The constant an operand must be.
  std::int64_t constant(const Operand& operand);

  bool is_register(const Operand& operand) const { return operand.kind == OperandKind::reg; }
  const Type& type_of(const Operand& reg) const;
  /// 64 for registers of 64 bits and everything without a width of its own that needs it, else 32.
  int width_of(const Operand& operand) const;

  /// The carry of add.cc and its like, a predicate.
  Place carry_place();

  Place new_place(int bits);
  Place new_predicate();
  Place constant_place(std::uint64_t bits, int width);

  MicroOp& emit(Run run);
  /// One lane operation on places.
  void emit_lane(std::string_view opcode, Place d, Place a, Place b = kNowhere, Place c = kNowhere);
  template <typename T>
  const T* keep(T detail) {
    auto kept = std::make_shared<const T>(std::move(detail));
    const T* const raw = kept.get();
    program_.details.push_back(std::move(kept));
    return raw;
  }
  /// What the instruction's result rests on, if not on its definition.
  void rests_on(units::Fidelity fidelity);

  [[noreturn]] void refuse(const std::string& problem) const;

 private:
  void decode_one();
  void name_registers();
  void add_places(const Operand& operand, std::vector<Place>& places) const;
  std::uint64_t address_of(const Operand& operand) const;
  std::uint64_t immediate_bits(const Operand& operand, int bits) const;
  Place register_place(std::uint32_t number);

  Program& program_;
  VariableAddresses addresses_, local_addresses_;  ///< of the module's variables, the function's
  const Instruction* instruction_ = nullptr;
  std::uint32_t number_ = 0;
  std::vector<Place> places_;  ///< of registers
  std::unordered_map<std::uint64_t, Place> constants_[2];
  std::unordered_map<std::string, Place> specials_;
  Place carry_ = kNowhere;
  Place predicates_ = kNowhere;  ///< where the next predicate goes
};

/// Decodes a kernel of a module; both must outlive the program.
/// @param addresses  of the module's global and constant variables; those of others do not count
/// @throws Error(input_output) for the first instruction that is not supported
Program make_program(const Module& module, const Function& function,
                     const VariableAddresses& addresses);

}  // namespace karat::ptx
