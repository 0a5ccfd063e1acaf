// The table of commands: one row each, one file each.
#include "command.hpp"

namespace karat::cli {

std::span<const Command> commands() {
  static constexpr Command table[] = {
      {"attend", "compute a recipe's outputs as safetensors", run_attend},
      {"check", "compare a candidate with a golden file, stage by stage", run_check},
      {"codec", "show a value in any number format; convert raw files", run_codec},
      {"cost", "how long a recipe takes on a Hopper GPU, and what limits it", run_cost},
      {"diagnose", "name the recipe edit or mistake that explains a candidate", run_diagnose},
      {"evidence", "compare a capture of GPU instructions with the emulator", run_evidence},
      {"export", "write a golden file as a bundle of another test suite", run_export},
      {"inspect", "look into a golden file; map a wgmma fragment", run_inspect},
      {"make", "compute a case bit for bit and write a golden file", run_make},
      {"mask", "blocks and densities of a mask; a picture, PyTorch's BlockMask", run_mask},
      {"mma", "run a tensor-core instruction on raw codes", run_mma},
      {"recipes", "list the presets; print one in full or the difference of two", run_recipes},
      {"run", "run a kernel's PTX on the CPU, bit for bit", run_run},
      {"study", "what FP8 and sparsity cost, apart and together, cell by cell", run_study},
      {"sweep", "many heads on many machines: plan, run, status, retry, merge", run_sweep},
      {"tune", "which recipe in which denoising step: error against time", run_tune},
  };
  return table;
}

}  // namespace karat::cli
