#include "program/layout.hpp"

#include "karat/numerics/base/error.hpp"
#include "program/addresses.hpp"

namespace karat::ptx {
namespace {

std::uint64_t up_to(std::uint64_t offset, std::uint64_t align) {
  return align == 0 ? offset : (offset + align - 1) / align * align;
}

constexpr std::uint64_t kMostLocal = std::uint64_t{512} << 10;  // bytes a thread can have

[[noreturn]] void refuse(const Program& program, const Variable& variable, const char* problem) {
  throw Error(ErrorKind::input_output, program.module->file + ":" + std::to_string(variable.line),
              variable.name + ": " + problem);
}

class SharedSpace {
 public:
  explicit SharedSpace(Program& program) : program_(program) { program.shared_end = kSharedBase; }

  std::uint64_t place(const Variable& variable) {
    const std::uint64_t at = up_to(program_.shared_end, variable.align);
    if (at + variable.bytes > kSharedLimit)
      refuse(program_, variable, "static shared memory exceeds 227 KiB");
    program_.shared_end = static_cast<std::uint32_t>(at + variable.bytes);
    return at;
  }

 private:
  Program& program_;
};

}  // namespace

void lay_out_parameters(Program& program) {
  for (const Variable& each : program.function->parameters) {
    const std::uint64_t at = up_to(program.parameter_bytes, each.align);
    program.parameters.push_back({each.name, at, each.bytes});
    program.parameter_bytes = at + each.bytes;
  }
}

void lay_out_variables(Program& program, VariableAddresses& of_module,
                       VariableAddresses& of_function) {
  const auto& outer = program.module->variables;
  const auto& inner = program.function->variables;
  of_module.resize(outer.size());
  of_function.assign(inner.size(), 0);
  SharedSpace shared(program);
  for (std::size_t i = 0; i < outer.size(); ++i)
    if (outer[i].space == Space::shared && outer[i].bytes > 0)
      of_module[i] = shared.place(outer[i]);
  for (std::size_t i = 0; i < inner.size(); ++i) {
    const Variable& each = inner[i];
    if (each.space == Space::shared) {
      if (each.bytes > 0) of_function[i] = shared.place(each);
    } else if (each.space == Space::local || each.space == Space::param) {  // of a call
      of_function[i] = up_to(program.local_bytes, each.align);
      program.local_bytes = up_to(of_function[i] + each.bytes, 16);
      if (program.local_bytes > kMostLocal) refuse(program, each, "local memory exceeds 512 KiB");
    } else {
      refuse(program, each, "inside a function variables are .shared, .local or .param");
    }
  }
  program.dynamic_shared = static_cast<std::uint32_t>(up_to(program.shared_end, 1024));
  for (std::size_t i = 0; i < outer.size(); ++i)
    if (outer[i].space == Space::shared && outer[i].bytes == 0)
      of_module[i] = program.dynamic_shared;
  for (std::size_t i = 0; i < inner.size(); ++i)
    if (inner[i].space == Space::shared && inner[i].bytes == 0)
      of_function[i] = program.dynamic_shared;
}

}  // namespace karat::ptx
