// Instructions become micro-operations, one after the other.
#include "program/decoder.hpp"

#include <algorithm>
#include <bit>
#include <charconv>

#include "instructions/families.hpp"
#include "program/layout.hpp"
#include "program/special.hpp"

namespace karat::ptx {

std::string shown(const Program& program, std::uint32_t instruction) {
  const auto& body = program.function->body;
  if (instruction >= body.size())
    return program.module->file + ": end of " + program.function->name;
  const Instruction& each = body[instruction];
  std::string text = program.module->file + ":" + std::to_string(each.at.line);
  if (each.at.source_line > 0) {
    for (const SourceFile& source : program.module->sources)
      if (source.number == each.at.source_file)
        text += " (" + source.path.substr(source.path.rfind('/') + 1) + ":" +
                std::to_string(each.at.source_line) + ")";
  }
  return text + ": " + each.opcode;
}

Decoder::Decoder(Program& program, VariableAddresses of_module, VariableAddresses of_function)
    : program_(program),
      addresses_(std::move(of_module)),
      local_addresses_(std::move(of_function)),
      places_(program.function->registers.size(), kNowhere) {}

void Decoder::refuse(const std::string& problem) const {
  throw Error(ErrorKind::input_output,
              program_.module->file + ":" + std::to_string(instruction_->at.line),
              instruction_->opcode + ": " + problem);
}

const Operand& Decoder::operand(std::size_t i) const {
  if (i >= instruction_->operands.size()) refuse("an operand is missing");
  return instruction_->operands[i];
}

void Decoder::require_operands(std::size_t least, std::size_t most) const {
  const std::size_t count = instruction_->operands.size();
  if (count < least) refuse("an operand is missing");
  if (count > most) refuse("it has an operand too many");
}

int Decoder::architecture() const {
  const std::string& target = program_.module->target;
  const std::size_t at = target.find("sm_");
  int number = 90;
  if (at != std::string::npos)
    std::from_chars(target.data() + at + 3, target.data() + target.size(), number);
  return number;
}

MicroOp& Decoder::emit(Run run) {
  MicroOp op{.run = run, .instruction = number_};
  if (instruction_ != nullptr && instruction_->guarded) {
    op.guard = register_place(instruction_->guard);
    op.guard_flip = instruction_->guard_negated ? ~0u : 0;
  }
  program_.code.push_back(op);
  return program_.code.back();
}

void Decoder::rests_on(units::Fidelity fidelity) {
  program_.fidelity[number_] = std::max(program_.fidelity[number_], fidelity);
}

void Decoder::decode_all() {
  const Function& function = *program_.function;
  program_.fidelity.assign(function.body.size(), units::Fidelity::definition);
  std::vector<std::uint32_t>& first = program_.first;
  for (number_ = 0; number_ < function.body.size(); ++number_) {
    instruction_ = &function.body[number_];
    first.push_back(static_cast<std::uint32_t>(program_.code.size()));
    decode_one();
  }
  name_registers();
  instruction_ = nullptr;
  first.push_back(static_cast<std::uint32_t>(program_.code.size()));
  emit(leave_kernel).tell = tell_leaving;  // a body may end without ret
  for (MicroOp& op : program_.code)
    if (op.run == branch || op.run == branch_by_index) op.target = first[op.target];
  program_.register_places = places_;
}

/// wgmma is left out: what it holds it tells itself. Of the others only registers count that some
/// wgmma takes, or that moves bring there.
void Decoder::name_registers() {
  const Function& function = *program_.function;
  program_.named.resize(function.body.size() + 1);
  std::vector<Place> taken;
  for (const Instruction& each : function.body)
    if (each.opcode.starts_with("wgmma.mma_async"))
      for (std::size_t o = 0; o < 2; ++o) add_places(each.operands[o], taken);
  const auto settle = [&] {
    std::ranges::sort(taken);
    taken.erase(std::unique(taken.begin(), taken.end()), taken.end());
  };
  settle();
  // The sources of moves, then those of moves to them; no chain of moves is longer than their list.
  std::vector<std::pair<std::vector<Place>, std::vector<Place>>> moves;
  for (const Instruction& each : function.body) {
    if (!each.opcode.starts_with("mov.") || each.operands.size() != 2 || taken.empty()) continue;
    auto& [to, from] = moves.emplace_back();
    add_places(each.operands[0], to);
    add_places(each.operands[1], from);
  }
  for (std::size_t before = 0; before != taken.size();) {
    before = taken.size();
    const std::vector<Place> known = taken;
    for (const auto& [to, from] : moves)
      if (std::ranges::any_of(to,
                              [&](Place each) { return std::ranges::binary_search(known, each); }))
        taken.insert(taken.end(), from.begin(), from.end());
    settle();
  }
  const auto keep_taken = [&](std::vector<Place>& places) {
    std::erase_if(places, [&](Place each) { return !std::ranges::binary_search(taken, each); });
  };
  for (std::size_t i = 0; i < function.body.size(); ++i) {
    const Instruction& each = function.body[i];
    const std::string_view name = std::string_view(each.opcode).substr(0, each.opcode.find('.'));
    if (name == "wgmma") continue;
    Named& named = program_.named[i];
    named.counts = name != "mov";
    const bool writes = name != "bar" && name != "barrier" && name != "nanosleep";
    for (std::size_t o = 0; o < each.operands.size(); ++o) {
      const bool to = o == 0 && writes && each.operands[0].kind != OperandKind::address;
      add_places(each.operands[o], to ? named.writes : named.reads);
    }
    keep_taken(named.reads);
    keep_taken(named.writes);
  }
}

void Decoder::add_places(const Operand& operand, std::vector<Place>& places) const {
  for (const Operand& part : operand.parts) add_places(part, places);
  if (operand.kind != OperandKind::reg || places_[operand.index] == kNowhere ||
      type_of(operand).kind == TypeClass::predicate)
    return;
  places.push_back(places_[operand.index]);
}

void Decoder::decode_one() {
  const std::string_view opcode = instruction_->opcode;
  const Family* const family = family_named(opcode.substr(0, opcode.find('.')));
  if (family == nullptr) refuse("not supported");
  try {
    family->decode(*this);
  } catch (const Error& error) {
    const std::string where = program_.module->file + ":" + std::to_string(instruction_->at.line);
    const std::string_view text = error.what();
    if (error.kind() == ErrorKind::internal || text.starts_with(where)) throw;
    throw Error(ErrorKind::input_output, where, std::string(text));
  }
}

Program make_program(const Module& module, const Function& function,
                     const VariableAddresses& addresses) {
  Program program{.module = &module, .function = &function};
  program.file_bytes = 128;  // place 0 is nobody's: absent operands name it
  lay_out_parameters(program);
  VariableAddresses of_module = addresses, of_function;
  lay_out_variables(program, of_module, of_function);
  Decoder(program, std::move(of_module), std::move(of_function)).decode_all();
  return program;
}

}  // namespace karat::ptx
