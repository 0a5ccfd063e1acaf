// A lane's neighbours in a row of D are its neighbours in the warp: four lanes of two registers
// interleave to eight words of a row.
#include "units/fragments.hpp"

#include <cstring>

namespace karat::ptx::units {
namespace {

/// Four lanes; a vector of the compilers (g++ and clang++ know it), 128 bits on every machine.
typedef std::uint32_t Four __attribute__((vector_size(16)));

Four load(const std::uint32_t* from) {
  Four x;
  std::memcpy(&x, from, sizeof x);
  return x;
}
void store(Four x, std::uint32_t* to) { std::memcpy(to, &x, sizeof x); }

constexpr std::size_t kQuads = 8;  ///< groups of four lanes: rows of eight

}  // namespace

void words_from_registers(const WarpRegisters& registers, int n, std::uint32_t* tile,
                          std::size_t stride) {
  for (std::size_t w = 0; w < 4; ++w) {
    for (std::size_t half = 0; half < 2; ++half) {
      std::uint32_t* rows = tile + (16 * w + 8 * half) * stride;
      for (std::size_t block = 0; block < static_cast<std::size_t>(n) / 8; ++block) {
        const std::uint32_t* even = registers[w][4 * block + 2 * half];
        const std::uint32_t* odd = registers[w][4 * block + 2 * half + 1];
        for (std::size_t quad = 0; quad < kQuads; ++quad) {
          const Four a = load(even + 4 * quad), b = load(odd + 4 * quad);
          std::uint32_t* out = rows + quad * stride + 8 * block;
          store(__builtin_shufflevector(a, b, 0, 4, 1, 5), out);
          store(__builtin_shufflevector(a, b, 2, 6, 3, 7), out + 4);
        }
      }
    }
  }
}

void words_to_registers(const std::uint32_t* tile, std::size_t stride, int n,
                        const WarpRegisters& registers) {
  for (std::size_t w = 0; w < 4; ++w) {
    for (std::size_t half = 0; half < 2; ++half) {
      const std::uint32_t* rows = tile + (16 * w + 8 * half) * stride;
      for (std::size_t block = 0; block < static_cast<std::size_t>(n) / 8; ++block) {
        std::uint32_t* even = registers[w][4 * block + 2 * half];
        std::uint32_t* odd = registers[w][4 * block + 2 * half + 1];
        for (std::size_t quad = 0; quad < kQuads; ++quad) {
          const std::uint32_t* in = rows + quad * stride + 8 * block;
          const Four low = load(in), high = load(in + 4);
          store(__builtin_shufflevector(low, high, 0, 2, 4, 6), even + 4 * quad);
          store(__builtin_shufflevector(low, high, 1, 3, 5, 7), odd + 4 * quad);
        }
      }
    }
  }
}

void halves_from_registers(const WarpRegisters& registers, int n, std::uint16_t* tile,
                           std::size_t stride) {
  for (std::size_t w = 0; w < 4; ++w) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) / 4; ++i) {
      std::uint16_t* rows = tile + (16 * w + 8 * (i % 2)) * stride + 8 * (i / 2);
      for (std::size_t quad = 0; quad < kQuads; ++quad) {
        std::memcpy(rows + quad * stride, registers[w][i] + 4 * quad, 16);
      }
    }
  }
}

void halves_to_registers(const std::uint16_t* tile, std::size_t stride, int n,
                         const WarpRegisters& registers) {
  for (std::size_t w = 0; w < 4; ++w) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(n) / 4; ++i) {
      const std::uint16_t* rows = tile + (16 * w + 8 * (i % 2)) * stride + 8 * (i / 2);
      for (std::size_t quad = 0; quad < kQuads; ++quad) {
        std::memcpy(registers[w][i] + 4 * quad, rows + quad * stride, 16);
      }
    }
  }
}

void bytes_from_registers(const ConstWarpRegisters& registers, std::byte* tile, std::size_t line) {
  for (std::size_t w = 0; w < 4; ++w) {
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t quad = 0; quad < kQuads; ++quad) {
        const std::size_t row = 16 * w + 8 * (i % 2) + quad;
        std::memcpy(tile + row * line + 16 * (i / 2), registers[w][i] + 4 * quad, 16);
      }
    }
  }
}

}  // namespace karat::ptx::units
