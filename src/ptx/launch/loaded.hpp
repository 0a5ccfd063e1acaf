// Private: a module after parsing, as people hold it.
#pragma once

#include "karat/ptx/module.hpp"
#include "parse/syntax.hpp"

namespace karat::ptx {

class LoadedModule {
 public:
  explicit LoadedModule(Module parsed) : module(std::move(parsed)) {}
  const Module module;
};

/// initial_bytes() of a variable at hand.
std::vector<std::byte> initial_bytes_of(
    const Module& module, const Variable& variable,
    const std::function<std::uint64_t(std::string_view)>& address);

}  // namespace karat::ptx
