// Parser, decoder and executor of PTX: whatever the text, a run of a few CTAs ends with outputs, a
// fault or one Error, in little memory and time. The last bytes choose how it runs: two warpgroups
// or less, so that wgmma and setmaxnreg find their warps, clusters of two, tensor maps among the
// parameters.
#include "check.hpp"
#include "karat/ptx/run.hpp"

namespace {

using namespace karat;

/// Parameters of the kernels among the seeds, by the name of the entry: others take an address.
void add_arguments(ptx::Launch& launch, std::string_view text) {
  const auto map = [](std::vector<std::uint64_t> shape, std::vector<std::uint32_t> box,
                      const char* swizzle) {
    return ptx::TensorMapArgument{.tensor = "buffer",
                                  .element = "bf16",
                                  .shape = std::move(shape),
                                  .box = std::move(box),
                                  .swizzle = swizzle};
  };
  launch.arguments = {ptx::PointerArgument{"buffer"}};
  // An entry whose first parameter is a map takes two of them: 2-D, swizzled, and 5-D.
  if (text.find(".b8 map2[128]") == std::string_view::npos) return;
  launch.arguments = {map({64, 64}, {16, 64}, "128B"),
                      map({2, 2, 2, 8, 32}, {1, 2, 1, 4, 16}, "none"),
                      ptx::PointerArgument{"buffer"}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const unsigned how = size > 0 ? data[size - 1] : 0, shape = size > 1 ? data[size - 2] : 0;
  ptx::Launch launch{.ptx = std::string(reinterpret_cast<const char*>(data), size),
                     .file = "fuzz.ptx"};
  static constexpr std::uint32_t kThreads[] = {128, 256, 33, 128};
  launch.block = {kThreads[shape % 4], 1, 1};
  launch.cluster = launch.grid = {shape / 4 % 2 + 1, 1, 1};
  launch.dynamic_shared = 16384;
  launch.limit = 5'000;
  launch.threads = 1;
  launch.hazards = how % 2 == 1 ? ptx::HazardSearch::on : ptx::HazardSearch::off;
  launch.schedule = static_cast<ptx::Schedule>(how / 2 % 3);
  launch.seed = how;
  launch.fuse = how % 5 == 0 ? ptx::Fuse::ptxas : ptx::Fuse::none;
  launch.tensors["buffer"] = {files::make_tensor(files::DType::u32, {4096}), true};
  add_arguments(launch, launch.ptx);
  try {
    const ptx::Outcome outcome = ptx::run(launch);
    fuzz::require(outcome.outputs.contains("buffer"));
  } catch (const Error& error) {
    fuzz::require(error.kind() != ErrorKind::internal);
    fuzz::require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
