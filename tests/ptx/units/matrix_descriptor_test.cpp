// Layouts of wgmma operands, written down a second way: tiles of chunks, as they are usually drawn.
#include "units/matrix_descriptor.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "layouts.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

TEST(PtxMatrixDescriptor, FieldsComeAndGo) {
  const std::uint64_t word = 0x2345u | std::uint64_t{0x0001} << 16 | std::uint64_t{0x0040} << 32 |
                             std::uint64_t{5} << 49 | std::uint64_t{1} << 62;
  const MatrixDescriptor d = matrix_descriptor(word);
  EXPECT_EQ(d.start, 0x23450u);
  EXPECT_EQ(d.leading, 16u);
  EXPECT_EQ(d.stride, 1024u);
  EXPECT_EQ(d.base_offset, 5);
  EXPECT_EQ(d.swizzle, MatrixSwizzle::bytes128);
  EXPECT_EQ(bits(d), word);
}

TEST(PtxMatrixDescriptor, EveryLayoutIsGathered) {
  for (const Layout& layout : layouts()) {
    for (const int bytes : {1, 2, 4}) {
      if (layout.major == Major::mn && bytes != 2) continue;
      for (const int rows : {8, 24, 64, 256}) {
        for (const std::uint32_t k_step : {0u, 1u}) {
          const Placed placed = place(layout, bytes, rows, k_step);
          std::vector<std::byte> memory(placed.size), out(static_cast<std::size_t>(rows) * 32),
              want = out;
          for (std::size_t i = 0; i < memory.size(); ++i)
            memory[i] = static_cast<std::byte>(i * 7 + i / 256);
          std::set<std::uint64_t> touched;
          const int depth = 32 / bytes;
          for (int row = 0; row < rows; ++row) {
            for (int k = 0; k < depth; ++k) {
              const std::uint32_t at = placed.address(row, k);
              ASSERT_EQ(element_address(placed.descriptor, layout.major, bytes, row, k), at)
                  << layout.name << " row " << row << " k " << k;
              for (int b = 0; b < bytes; ++b) {
                touched.insert(at + static_cast<std::uint32_t>(b));
                want[static_cast<std::size_t>(row * 32 + k * bytes + b)] =
                    memory[at - kLayoutBase + static_cast<std::uint32_t>(b)];
              }
            }
          }
          gather_matrix(placed.descriptor, layout.major, bytes, rows, depth, {memory, kLayoutBase},
                        out.data(), 32);
          ASSERT_EQ(out, want) << layout.name << rows;
          std::set<std::uint64_t> told;
          std::uint64_t last = 0;
          for (const ByteRange& r :
               matrix_ranges(placed.descriptor, layout.major, bytes, rows, depth)) {
            ASSERT_GT(r.begin, last);
            last = r.end;
            for (std::uint64_t a = r.begin; a < r.end; ++a) told.insert(a);
          }
          ASSERT_EQ(told, touched) << layout.name << rows;
        }
      }
    }
  }
}

TEST(PtxMatrixDescriptor, OutsideAndBaseOffsetsAreErrors) {
  std::vector<std::byte> memory(1024), out(64 * 32);
  MatrixDescriptor d{
      .start = 1024, .leading = 16, .stride = 1024, .swizzle = MatrixSwizzle::bytes128};
  EXPECT_NO_THROW(gather_matrix(d, Major::k, 1, 8, 32, {memory, 1024}, out.data(), 32));
  EXPECT_THROW(gather_matrix(d, Major::k, 1, 16, 32, {memory, 1024}, out.data(), 32), Error);
  d.base_offset = 1;
  EXPECT_THROW(gather_matrix(d, Major::k, 1, 8, 32, {memory, 1024}, out.data(), 32), Error);
}

}  // namespace
}  // namespace karat::ptx::units
