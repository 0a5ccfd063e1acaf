// A box of a row-major tensor as runs of bytes that lie together.
#pragma once

#include <cstddef>

#include "karat/files/tensor.hpp"

namespace karat::files {

/// Bytes of the longest run that a box of `count` elements has in a tensor of `shape`.
inline std::size_t run_bytes(DType dtype, const Shape& shape, const Shape& count) {
  std::size_t run = count.empty() ? 0 : count.size() - 1;
  while (run > 0 && count[run] == shape[run]) --run;
  std::size_t bytes = info(dtype).size;
  for (std::size_t d = run; d < count.size(); ++d) bytes *= count[d];
  return bytes;
}

/// Calls visit(from, to, bytes) for every run, ascending: where it begins in the tensor and in the
/// box.
/// @pre the box lies inside the tensor
template <typename Visit>
void for_each_run(DType dtype, const Shape& shape, const Shape& offset, const Shape& count,
                  const Visit& visit) {
  const std::size_t rank = count.size();
  std::size_t run = rank == 0 ? 0 : rank - 1;  // dimensions [run, rank) lie together
  while (run > 0 && count[run] == shape[run]) --run;
  const std::size_t size = info(dtype).size, bytes = run_bytes(dtype, shape, count);
  std::size_t whole = size;
  for (const std::size_t extent : count) whole *= extent;
  if (whole == 0) return;
  Shape index(rank, 0);
  for (std::size_t to = 0; to < whole; to += bytes) {
    std::size_t from = 0;
    for (std::size_t d = 0; d < rank; ++d)
      from = from * shape[d] + offset[d] + (d < run ? index[d] : 0);
    visit(from * size, to, bytes);
    for (std::size_t d = run; d-- > 0;) {
      if (++index[d] < count[d]) break;
      index[d] = 0;
    }
  }
}

}  // namespace karat::files
