// libFuzzer target: .npy from arbitrary bytes, without a note and with notes of one and two bytes.
// What is accepted must be written to a file that reads as the same array.
#include "karat/files/npy.hpp"

#include <optional>

#include "check.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace karat;
  for (const auto note : {std::optional<files::DType>{}, std::optional(files::DType::f8_e4m3),
                          std::optional(files::DType::bf16)}) {
    fuzz::accept_or_refuse([&] {
      const files::Tensor tensor = files::parse_npy(fuzz::bytes_of(data, size), "fuzz", note);
      const auto bytes = files::format_npy(tensor);
      fuzz::require(files::parse_npy(bytes, "again", tensor.dtype) == tensor);
    });
  }
  return 0;
}
