// ldmatrix, stmatrix, movmatrix by their index formula, and the transposition of FP8 tiles made of
// them.
#include "units/matrix_move.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "registers.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::uint32_t kBase = 2048;

struct Fixture {
  std::vector<std::byte> bytes = std::vector<std::byte>(4096);
  Register addresses{};

  explicit Fixture(unsigned seed) {
    Words words(seed);
    for (auto& b : bytes) b = static_cast<std::byte>(words.below(256));
    std::vector<std::uint32_t> rows;
    for (std::uint32_t i = 0; i < 256; ++i) rows.push_back(kBase + 16 * i);
    for (std::size_t i = 0; i < kLanes; ++i) {  // distinct rows anywhere
      std::swap(rows[i], rows[i + words.below(static_cast<std::uint32_t>(256 - i))]);
      addresses[i] = rows[i];
    }
  }
  SharedMemory memory() { return {bytes, kBase}; }
  std::uint16_t element(std::size_t matrix, std::size_t row, std::size_t column) const {
    std::uint16_t x;
    std::memcpy(&x, bytes.data() + addresses[8 * matrix + row] - kBase + 2 * column, 2);
    return x;
  }
};

TEST(PtxMatrixMove, LoadsByTheFormula) {
  for (const std::string trans : {"", ".trans"}) {
    for (const int count : {1, 2, 4}) {
      Fixture f(91);
      const MatrixMoveOp op = matrix_move_op("ldmatrix.sync.aligned.m8n8.x" +
                                             std::to_string(count) + trans + ".shared.b16");
      std::vector<Register> d(static_cast<std::size_t>(count));
      std::vector<std::uint32_t*> p;
      for (auto& r : d) p.push_back(r.data());
      load_matrices(op, f.addresses.data(), f.memory(), p);
      for (std::size_t i = 0; i < d.size(); ++i) {
        for (std::size_t l = 0; l < kLanes; ++l) {
          const std::size_t major = l / 4, minor = 2 * (l % 4);
          const std::uint32_t low =
              trans.empty() ? f.element(i, major, minor) : f.element(i, minor, major);
          const std::uint32_t high =
              trans.empty() ? f.element(i, major, minor + 1) : f.element(i, minor + 1, major);
          ASSERT_EQ(d[i][l], low | high << 16);
        }
      }
    }
  }
}

TEST(PtxMatrixMove, StoresWhatWasLoaded) {
  for (const auto transposition : {Transposition::none, Transposition::transposed}) {
    Fixture from(92), to(93);
    const MatrixMoveOp op{4, transposition};
    std::array<Register, 4> d;
    std::array<std::uint32_t*, 4> p;
    std::array<const std::uint32_t*, 4> q;
    for (std::size_t i = 0; i < 4; ++i) p[i] = d[i].data(), q[i] = d[i].data();
    load_matrices(op, from.addresses.data(), from.memory(), p);
    store_matrices(op, to.addresses.data(), to.memory(), q);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t r = 0; r < 8; ++r) {
        for (std::size_t c = 0; c < 8; ++c) ASSERT_EQ(to.element(i, r, c), from.element(i, r, c));
      }
    }
  }
}

TEST(PtxMatrixMove, TheAddressRegisterMayBeTheResult) {
  Fixture f(94);
  Register d = f.addresses, want{};
  std::uint32_t *p = want.data(), *q = d.data();
  load_matrices({1, Transposition::none}, f.addresses.data(), f.memory(), std::span(&p, 1));
  load_matrices({1, Transposition::none}, d.data(), f.memory(), std::span(&q, 1));
  EXPECT_EQ(d, want);
}

TEST(PtxMatrixMove, MovesTransposed) {
  Register a, d;
  for (std::uint32_t l = 0; l < kLanes; ++l) a[l] = (2 * l) | (2 * l + 1) << 16;  // element 8 r + c
  transpose_matrix(d.data(), a.data());
  for (std::uint32_t l = 0; l < kLanes; ++l) {
    const std::uint32_t row = l / 4, column = 2 * (l % 4);
    EXPECT_EQ(d[l], (8 * column + row) | (8 * (column + 1) + row) << 16);
  }
}

// ldmatrix.trans, bytes of two registers sorted by prmt 0x6420 and 0x7531, stmatrix: 16 x 8 bytes
// of V become 8 x 16, even channels in rows 0 to 7 of one matrix, odd ones of the other.
TEST(PtxMatrixMove, TransposesBytes) {
  std::vector<std::byte> bytes(1024);
  SharedMemory memory{bytes, 0};
  const auto v = [](std::uint32_t key, std::uint32_t channel) {
    return static_cast<std::byte>(16 * key + channel);
  };
  for (std::uint32_t key = 0; key < 16; ++key) {
    for (std::uint32_t channel = 0; channel < 16; ++channel)
      bytes[16 * key + channel] = v(key, channel);
  }
  Register addresses{};
  for (std::uint32_t l = 0; l < 16; ++l) addresses[l] = 16 * l, addresses[16 + l] = 16 * l;
  std::array<Register, 2> d;
  std::array<std::uint32_t*, 2> p = {d[0].data(), d[1].data()};
  load_matrices({2, Transposition::transposed}, addresses.data(), memory, p);
  Register selector;
  selector.fill(0x6420);
  const Register even = run<std::uint32_t>("prmt.b32", d[0], d[1], selector);
  selector.fill(0x7531);
  const Register odd = run<std::uint32_t>("prmt.b32", d[0], d[1], selector);
  for (std::uint32_t l = 0; l < 16; ++l) addresses[l] = 512 + 16 * l;
  const std::array<const std::uint32_t*, 2> q = {even.data(), odd.data()};
  store_matrices({2, Transposition::none}, addresses.data(), memory, q);
  // Lane l holds keys 2 (l % 4), + 1 of matrix 0 and 8 more of matrix 1, of channels 2 (l / 4),
  // + 1.
  for (std::uint32_t pair = 0; pair < 8; ++pair) {
    for (std::uint32_t i = 0; i < 16; ++i) {
      const std::uint32_t key = 2 * (i / 4) + i % 2 + (i % 4 >= 2 ? 8 : 0);
      EXPECT_EQ(bytes[512 + 16 * pair + i], v(key, 2 * pair));
      EXPECT_EQ(bytes[512 + 128 + 16 * pair + i], v(key, 2 * pair + 1));
    }
  }
}

TEST(PtxMatrixMove, BadAddressesNameTheirLane) {
  Fixture f(95);
  Register d;
  std::uint32_t* p = d.data();
  const auto message = [&](std::uint32_t address) -> std::string {
    Register addresses = f.addresses;
    addresses[5] = address;
    try {
      load_matrices({1, Transposition::none}, addresses.data(), f.memory(), std::span(&p, 1));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message(kBase + 8), "row address of lane 5: shared address 2056 is no multiple of 16");
  EXPECT_EQ(message(16),
            "row address of lane 5: shared address 16 is outside the CTA's shared memory");
  EXPECT_EQ(message(kBase + 4096),
            "row address of lane 5: shared address 6144 is outside the CTA's shared memory");
  for (const char* opcode :
       {"ldmatrix.sync.aligned.m16n16.x1.trans.shared.b8",
        "ldmatrix.sync.aligned.m8n8.x3.shared.b16", "stmatrix.sync.aligned.m8n8.x4.shared.b8"}) {
    EXPECT_THROW(matrix_move_op(opcode), Error) << opcode;
  }
}

}  // namespace
}  // namespace karat::ptx::units
