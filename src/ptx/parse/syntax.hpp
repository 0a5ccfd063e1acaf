// Private: a PTX module after parsing. Names are resolved: a register is a number, a label the
// number of an instruction, a variable a number in one of two lists.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "parse/type.hpp"

namespace karat::ptx {

enum class Space : std::uint8_t { generic, constant, global, local, param, shared };

/// Bytes at `offset` hold the address of another variable plus `addend`.
struct Relocation {
  std::uint64_t offset = 0;
  std::string symbol;
  std::int64_t addend = 0;
};

struct Variable {
  std::string name;
  Space space = Space::global;
  Type type;
  std::uint64_t align = 4;
  std::uint64_t bytes = 0;  ///< 0 for `name[]`: as large as the launch says
  bool external = false;
  std::vector<std::uint8_t> initial;  ///< may be shorter than the variable; the rest is zero
  std::vector<Relocation> relocations;
  std::uint32_t line = 0;
};

struct Register {
  std::string name;
  Type type;
};

enum class OperandKind : std::uint8_t {
  reg,
  special,         ///< "%tid.x"; name
  immediate,       ///< integer in two's complement
  f32,             ///< bits
  f64,             ///< bits
  label,           ///< index: an instruction
  variable,        ///< index into Module::variables
  local_variable,  ///< index into Function::variables
  parameter,       ///< index into Function::parameters
  function,        ///< name
  table,           ///< index into Function::tables: where a brx.idx goes
  address,         ///< parts[0] + bits (an offset); parts[1...]: what else stands in the brackets
  vector,          ///< {parts}
  pair,            ///< parts[0]|parts[1]
  list,            ///< (parts), of calls
  sink,            ///< _
  name,            ///< not resolved yet
};

struct Operand {
  OperandKind kind = OperandKind::sink;
  bool negated = false;  ///< !p, or a minus before a name
  std::uint32_t index = 0;
  std::uint64_t bits = 0;
  std::string name;
  std::vector<Operand> parts;
};

/// Where an instruction stands: in the PTX, and in its source if `.loc` says so.
struct Location {
  std::uint32_t line = 0;
  std::uint32_t source_file = 0;  ///< as `.file` numbers it
  std::uint32_t source_line = 0;  ///< 0: unknown
};

struct Instruction {
  std::string opcode;  ///< with all its parts: "mul.lo.s32"
  bool guarded = false, guard_negated = false;
  std::uint32_t guard = 0;  ///< a predicate register
  std::vector<Operand> operands;
  Location at;
};

struct Function {
  std::string name;
  bool entry = false;
  std::vector<Variable> parameters;
  std::vector<Variable> variables;  ///< shared, local and so on, declared inside
  std::vector<Register> registers;  ///< those that instructions name
  std::vector<Register> handed;     ///< registers among the parameters and results of a .func
  std::vector<Instruction> body;
  std::vector<std::vector<std::uint32_t>> tables;  ///< of .branchtargets: instructions
  std::array<std::uint32_t, 3> required_block{};   ///< .reqntid; zeros: any
  std::array<std::uint32_t, 3> required_cluster{};
  std::uint64_t most_threads = 0;       ///< .maxntid, all dimensions together; 0: any
  std::uint32_t most_registers = 0;     ///< .maxnreg; 0: any
  std::uint32_t most_cluster_ctas = 0;  ///< .maxclusterrank; 0: any
  std::uint32_t line = 0;
};

struct SourceFile {
  std::uint32_t number = 0;
  std::string path;
};

struct Module {
  std::string file;  ///< what errors call it
  std::string version, target;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  std::vector<SourceFile> sources;
};

/// Reads a module. Nothing is said about whether its instructions exist. Kernels hold the bodies of
/// the functions they call in place of the calls (inline_calls()).
/// @throws Error(input_output) "file:12: what is wrong"
Module parse(std::string_view source, const std::string& file);

}  // namespace karat::ptx
