// The table of commands: one row each, one file each.
#include "commands.hpp"

#include "command.hpp"

namespace karat::cli {

std::span<const Command> commands() {
  static constexpr Command table[] = {
      {"inspect", "look into a golden file; map a wgmma fragment", run_inspect},
      {"recipes", "list the presets; print one in full or the difference of two", run_recipes},
  };
  return table;
}

}  // namespace karat::cli
