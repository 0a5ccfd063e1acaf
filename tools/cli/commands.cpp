// The table of commands: one row each, one file each.
#include "commands.hpp"

#include "command.hpp"

namespace karat::cli {

std::span<const Command> commands() {
  static constexpr Command table[] = {
      {"inspect", "look into a golden file; map a wgmma fragment", run_inspect},
  };
  return table;
}

}  // namespace karat::cli
