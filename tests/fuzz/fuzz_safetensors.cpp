// libFuzzer target: safetensors from arbitrary bytes.
// What is accepted must be written to a file that reads as the same tensors.
#include "karat/files/safetensors.hpp"

#include "check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace karat;
  return fuzz::accept_or_refuse([&] {
    const files::TensorFile file = files::parse_safetensors(fuzz::bytes_of(data, size), "fuzz");
    const auto bytes = files::format_safetensors(file.tensors, file.metadata);
    fuzz::require(files::parse_safetensors(bytes, "again") == file);
  });
}
