// A launch as files that `karat run` replays: launch_0001.json, the memory before it in
// launch_0001.safetensors, the module's PTX. Every block keeps its address, so that pointers in
// parameters and in memory stay what they are.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "karat/ptx/launch.hpp"
#include "settings.hpp"

namespace karat::cudart {

class Recording {
 public:
  /// Writes the launch. @param text  of the module, called module_`number`.ptx
  /// @param mode  both: memory is kept to tell what the launch changes
  Recording(const std::string& folder, const ptx::Launch& launch, const std::string& text,
            std::size_t number, Mode mode);
  /// @pre mode both. The launch has run: launch_0001.after.safetensors gets the blocks it changed,
  /// which become the launch file's outputs.
  void finish(const ptx::Launch& launch);

 private:
  void write_json(const ptx::Launch& launch, const std::vector<bool>& outputs) const;

  std::string path_;  ///< without its ending
  std::string module_;
  std::vector<std::vector<std::byte>> before_;
};

}  // namespace karat::cudart
