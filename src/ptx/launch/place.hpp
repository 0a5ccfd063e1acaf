// Private: everything a launch puts into global memory: tensors, the caller's memory, the module's
// variables.
#pragma once

#include "execute/memory.hpp"
#include "launch/arguments.hpp"
#include "launch/loaded.hpp"
#include "program/layout.hpp"

namespace karat::ptx {

class PlacedMemory {
 public:
  /// Buffers that say where they lie go there, the others behind them. The launch must stay.
  /// @throws Error(usage) for an address that cannot be, a variable the module has not or that has
  /// another size
  PlacedMemory(Launch& launch, const Module& module);

  Memory memory;
  TensorAddresses tensors;      ///< of the launch
  VariableAddresses variables;  ///< of the module, in its order

 private:
  struct Buffer;
  void place(const Buffer& buffer, const Module& module);

  std::vector<std::vector<std::byte>> own_;  ///< variables that nobody brought
};

}  // namespace karat::ptx
