// libFuzzer target: strict JSON from arbitrary bytes.
// What is accepted must format to text that parses to the same value.
#include <nlohmann/json.hpp>

#include "check.hpp"
#include "karat/files/json_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace karat;
  return fuzz::accept_or_refuse([&] {
    const files::Json value = files::parse_json(fuzz::bytes_of(data, size), "fuzz");
    const std::string text = files::format_json(value);
    const files::Json again = files::parse_json(text, "again");
    fuzz::require(again == value);
    fuzz::require(files::format_json(again) == text);
  });
}
