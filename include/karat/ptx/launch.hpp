// A launch of a kernel whose PTX is at hand: what cuLaunchKernel would be given, as plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/files/tensor.hpp"
#include "karat/ptx/schedule.hpp"
#include "karat/ptx/tap.hpp"

namespace karat::ptx {

struct Dimensions {
  std::uint32_t x = 1, y = 1, z = 1;
};

/// Does `ptxas` join products with the sums they go into? docs/run.md, "What mul and add become",
/// states its rule, found by comparing machine code.
enum class Fuse { none, ptxas };

/// Whether a run looks for accesses to shared memory whose order nothing guarantees.
enum class HazardSearch { off, on };

/// "eager", "late", "random"; @throws Error(usage)
Schedule schedule_named(std::string_view name, const std::string& subject);

/// A buffer in global memory.
struct LaunchTensor {
  files::Tensor value;
  bool output = false;   ///< is returned after the launch
  std::string variable;  ///< the module's variable whose bytes it is; empty: a buffer of its own
  std::optional<std::uint64_t> address;  ///< where it lies; empty: where there is room
};

/// Memory that belongs to the caller, at an address of its choice; kernels read and write it in
/// place. Addresses are multiples of 256, one buffer to a step of 2 MiB.
struct LaunchMemory {
  std::string name;  ///< in messages
  std::uint64_t address = 0;
  std::span<std::byte> bytes;
  std::string variable;  ///< the module's variable whose bytes it is; empty: none
};

class LoadedModule;

/// The address of a tensor in global memory, 64 bits.
struct PointerArgument {
  std::string tensor;
  std::uint64_t offset = 0;  ///< bytes
};

/// A CUtensorMap of 128 bytes, as cuTensorMapEncodeTiled makes it, with dimensions in the order of
/// shapes: the last one is the contiguous one.
struct TensorMapArgument {
  std::string tensor;
  std::uint64_t offset = 0;            ///< bytes, added to the tensor's address
  std::string element;                 ///< "u8", "bf16", "f32" ...; empty: the tensor's
  std::vector<std::uint64_t> shape;    ///< empty: the tensor's
  std::vector<std::uint64_t> strides;  ///< bytes, of all dimensions but the last; empty: dense
  std::vector<std::uint32_t> box;
  std::vector<std::uint32_t> element_strides;  ///< empty: 1
  std::string swizzle = "none";                ///< "none", "32B", "64B", "128B"
  std::string fill = "zero";                   ///< "zero", "nan"
};

/// Bytes as they are, with addresses of tensors written over some of them: structures passed by
/// value.
struct BytesArgument {
  struct Patch {
    std::uint64_t at = 0;  ///< byte
    std::variant<PointerArgument, TensorMapArgument> value;
  };
  std::vector<std::byte> bytes;
  std::vector<Patch> patches;
};

using Argument = std::variant<PointerArgument, TensorMapArgument, BytesArgument>;

struct Launch {
  std::string ptx;   ///< the text of the module
  std::string file;  ///< what errors call it
  /// The module, read before: then `ptx` and `file` do not count.
  std::shared_ptr<const LoadedModule> module;
  std::string kernel;  ///< may be empty where the module has one entry
  Dimensions grid, block, cluster;
  std::uint32_t dynamic_shared = 0;  ///< bytes
  std::map<std::string, LaunchTensor> tensors;
  std::vector<LaunchMemory> memory;  ///< besides
  std::vector<Tap> taps;             ///< of these outputs are made besides
  /// The CTA whose timeline is kept; not together with a search for hazards.
  std::optional<Dimensions> timeline;
  std::vector<Argument> arguments;  ///< one for each parameter of the kernel
  Fuse fuse = Fuse::none;
  HazardSearch hazards = HazardSearch::off;
  Schedule schedule = Schedule::eager;
  std::uint64_t seed = 0;  ///< of Schedule::random
  /// Warp instructions in one CTA (or cluster), after which a kernel counts as endless.
  std::uint64_t limit = 4'000'000'000;
  int threads = 0;  ///< as numerics::parallel_for
};

/// Reads a launch file, as docs/run.md describes it. Paths in it are relative to it.
/// @throws Error(input_output) "file: field: what is wrong"
Launch read_launch(const std::filesystem::path& path);
Launch read_launch(const files::Json& json, const std::filesystem::path& folder,
                   const std::string& subject);
/// A launch whose module and tensors are at hand. The object has the fields kernel, grid, block,
/// cluster, dynamic_shared, parameters and fuse of a launch file, and outputs (names of tensors),
/// hazards, schedule, seed, limit and threads as the command line has them; all may be missing.
/// @throws Error(usage) "launch: field: what is wrong"
Launch read_launch(const files::Json& json, std::string ptx, files::Tensors tensors);

}  // namespace karat::ptx
