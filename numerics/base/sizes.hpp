// Arrays that go together have one size.
#pragma once

#include <cstddef>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::numerics {

/// @throws Error(internal) naming `subject` when the sizes differ
inline void check_sizes(const char* subject, std::size_t from, std::size_t to) {
  if (from == to) return;
  throw Error(ErrorKind::internal, subject,
              "sizes differ: " + std::to_string(from) + " and " + std::to_string(to));
}

}  // namespace karat::numerics
