// What every fuzz target asks of a parser: a value that survives writing and reading again, or
// Error(input_output) in one line; anything else stops the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "karat/numerics/base/error.hpp"

namespace karat::fuzz {

inline void require(bool condition) {
  if (!condition) std::abort();
}

template <class Attempt>
int accept_or_refuse(const Attempt& attempt) {
  try {
    attempt();
  } catch (const Error& error) {
    require(error.kind() == ErrorKind::input_output);
    require(std::string_view(error.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

}  // namespace karat::fuzz
