// See allocate.hpp.
#include "allocate.hpp"

#include <unistd.h>

#include <new>

#include "karat/numerics/base/error.hpp"

namespace karat::files {

Tensor allocate_tensor(DType dtype, const Shape& shape, const std::string& subject) {
  const auto bytes = checked_bytes(dtype, shape);
  const auto memory = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) *
                      static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto refuse = [&](const std::string& problem) {
    return Error(ErrorKind::input_output, subject, "shape " + to_string(shape) + " " + problem,
                 "save a smaller tensor");
  };
  if (shape.size() > kMaxRank) throw refuse("has more than 32 dimensions");
  if (!bytes || *bytes > memory) throw refuse("is more than this machine's memory");
  try {
    return make_tensor(dtype, shape);
  } catch (const std::bad_alloc&) {
    throw refuse("is more than the free memory");
  }
}

}  // namespace karat::files
