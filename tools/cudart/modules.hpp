// What compiled programs register: fat binaries, the kernels and variables in them.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "abi.hpp"
#include "blocks.hpp"
#include "karat/ptx/module.hpp"

namespace karat::cudart {

/// A registered fat binary. Its PTX is read when it is first needed.
class Image {
 public:
  explicit Image(const FatBinaryWrapper& wrapper, std::size_t number)
      : wrapper_(wrapper), number_(number) {}

  /// @throws Error(input_output) where it holds no PTX for sm_90a, or such that cannot be read
  const std::shared_ptr<const ptx::LoadedModule>& module();
  const std::string& text();
  /// Of the program's images, from 0.
  std::size_t number() const { return number_; }
  /// A variable's bytes. Nothing where the module has none of this name, or no room is left.
  std::optional<Block> variable(const std::string& name);
  /// All variables: name in the module, block.
  const std::map<std::string, Block>& variables();
  const ptx::KernelInfo* kernel(const std::string& name);

 private:
  void load();

  FatBinaryWrapper wrapper_;
  std::size_t number_;
  std::string text_;
  std::shared_ptr<const ptx::LoadedModule> module_;
  std::vector<ptx::KernelInfo> kernels_;
  std::map<std::string, Block> variables_;
};

/// A kernel as host code knows it.
struct Kernel {
  Image* image = nullptr;
  std::string name;
  /// What cudaFuncSetAttribute() set.
  int most_dynamic_shared = -1;  ///< -1: not set
  int carveout = -1;
  bool non_portable_cluster = false;
  Dim3 cluster{0, 0, 0};  ///< zeros: not set
};

/// A variable as host code knows it.
struct Symbol {
  Image* image = nullptr;
  std::string name;
  std::size_t bytes = 0;
};

/// Everything that was registered. Calls may come from several threads.
class Registry {
 public:
  Image* add(const FatBinaryWrapper& wrapper);
  void add_kernel(const void* host, Image* image, const char* name);
  void add_symbol(const void* host, Image* image, const char* name, std::size_t bytes);
  /// Null for what was not registered.
  Kernel* kernel(const void* host);
  Symbol* symbol(const void* host);
  std::vector<Image*> images() const;

 private:
  mutable std::mutex guard_;
  std::vector<std::unique_ptr<Image>> images_;
  std::map<const void*, Kernel> kernels_;
  std::map<const void*, Symbol> symbols_;
};

Registry& registry();

}  // namespace karat::cudart
