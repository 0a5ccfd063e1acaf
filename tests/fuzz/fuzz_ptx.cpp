// Parser, decoder and executor of PTX: whatever the text, a run of one CTA of 64 threads ends with
// outputs, a fault or one Error, in little memory and time.
#include "check.hpp"
#include "karat/ptx/run.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace karat;
  ptx::Launch launch{.ptx = std::string(reinterpret_cast<const char*>(data), size),
                     .file = "fuzz.ptx",
                     .block = {64, 1, 1}};
  launch.dynamic_shared = 4096;
  launch.limit = 20'000;
  launch.threads = 1;
  // The last byte chooses how it runs.
  const unsigned how = size > 0 ? data[size - 1] : 0;
  launch.hazards = how % 2 == 1 ? ptx::HazardSearch::on : ptx::HazardSearch::off;
  launch.schedule = static_cast<ptx::Schedule>(how / 2 % 3);
  launch.fuse = how % 5 == 0 ? ptx::Fuse::ptxas : ptx::Fuse::none;
  launch.tensors["buffer"] = {files::make_tensor(files::DType::u32, {1024}), true};
  // Kernels of the seeds take an address; others are refused for what they take.
  launch.arguments = {ptx::PointerArgument{"buffer"}};
  try {
    const ptx::Outcome outcome = ptx::run(launch);
    fuzz::require(outcome.outputs.contains("buffer"));
  } catch (const Error& error) {
    fuzz::require(error.kind() != ErrorKind::internal);
    fuzz::require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
