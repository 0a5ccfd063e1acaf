// The operands of a capture as a function of (seed, position), and the fingerprint of its results.
// The GPU programs of tools/hopper and the emulator compile this same header, so a capture stores a
// seed and hashes instead of operands. All of it is constexpr: nvcc builds it for the device.
#pragma once

#include <cstdint>
#include <numbers>

#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::evidence {

/// A tile is one m64n8 instruction (or four m16n8 ones): rows of A, columns of B, and a case for
/// each pair of them. Case number = tile * kTileCases + row * kTileColumns + column.
inline constexpr int kTileRows = 64;
inline constexpr int kTileColumns = 8;
inline constexpr int kTileCases = kTileRows * kTileColumns;

/// Streams of philox.hpp, one per operand.
enum class Stream : std::uint64_t {
  a = 0,
  b = 1,
  c = 2,
  attention_q = 8,
  attention_k,
  attention_v
};

/// How the random bits of a row, a column or an accumulator are spread over the format.
enum class Spread {
  any,     ///< every bit pattern: NaN, Inf, subnormals, -0
  finite,  ///< every finite pattern
  near,    ///< exponents around 1: terms meet on the grid, and cancel
  low,     ///< zeros, subnormals, and (8-bit exponents) products around 2^-133; C: special words
};
constexpr Spread spread(int number) { return static_cast<Spread>(number & 3); }

/// Code of an operand from 32 random bits; integers take them as they are.
/// `f` is the format of the word the instruction is given: f32 for TF32.
constexpr std::uint32_t operand(const numerics::Format& f, Spread how, std::uint32_t random) {
  const std::uint32_t code = random & f.mask();
  if (f.kind == numerics::Kind::integer) return code;
  const std::uint32_t lowest_exponent_bit = 1u << f.fraction_bits;
  if (how == Spread::any) {
    // Infinities are rare among wide formats' bit patterns: one in 64 of them is made one.
    const bool infinite = f.fraction_bits >= 7 && (code & 63) == 21;
    return infinite ? (code & f.sign_mask()) | f.infinity() : code;
  }
  if (how == Spread::finite)
    return f.is_nan(code) || f.is_infinity(code) ? code & ~lowest_exponent_bit : code;
  const std::uint32_t outside = f.sign_mask() | (lowest_exponent_bit - 1);  // sign and fraction
  const std::uint32_t choice = random >> 24;
  if (how == Spread::near)
    return (code & outside) |
           ((static_cast<std::uint32_t>(f.bias) - 4 + (choice & 7)) << f.fraction_bits);
  if ((random >> 28 & 3) == 0) return code & f.sign_mask();
  const std::uint32_t exponent =
      f.exponent_bits == 8 ? static_cast<std::uint32_t>(f.bias) - 76 + (choice & 15) : choice & 7;
  return (code & outside) | exponent << f.fraction_bits;
}

/// Bits of an accumulator from 32 random bits.
constexpr std::uint32_t accumulator(const numerics::Format& f, Spread how, std::uint32_t random) {
  if (f.kind == numerics::Kind::integer || how == Spread::any || how == Spread::finite)
    return operand(f, how, random);
  const bool wide = f.exponent_bits == 8;
  const std::uint32_t sign = random >> 28 & 1 ? f.sign_mask() : 0;
  const std::uint32_t fraction = random & ((1u << f.fraction_bits) - 1);
  const std::uint32_t choice = random >> 24;
  if (how == Spread::near) {
    const std::uint32_t exponent =
        static_cast<std::uint32_t>(f.bias) - 8 + (choice & (wide ? 31 : 15));
    return (random & f.sign_mask()) | exponent << f.fraction_bits | fraction;
  }
  switch (random >> 29) {
    case 0:
      return sign;
    case 1:
      return sign | f.infinity();
    case 2:
      return sign | f.infinity() | fraction | 1;
    case 3:
      return sign | f.max_finite();
    default:
      return sign | (choice & (wide ? 15 : 3)) << f.fraction_bits | fraction;
  }
}

/// Operands of instruction `step` of a chain (0 for a single one), k elements per instruction.
/// Single instructions mix all spreads; chains stay near 1, where sums neither die nor overflow.
struct SeededTiles {
  std::uint64_t seed = 0;
  int k = 0;
  bool chained = false;

  constexpr std::uint32_t a(const numerics::Format& f, std::uint32_t tile, std::uint32_t step,
                            int row, int element) const {
    return element_of(f, Stream::a, tile, step, row, kTileRows, element);
  }
  constexpr std::uint32_t b(const numerics::Format& f, std::uint32_t tile, std::uint32_t step,
                            int column, int element) const {
    return element_of(f, Stream::b, tile, step, column, kTileColumns, element);
  }
  constexpr std::uint32_t c(const numerics::Format& f, std::uint32_t tile, int row,
                            int column) const {
    const std::uint64_t index =
        std::uint64_t{tile} * kTileCases + static_cast<unsigned>(row * kTileColumns + column);
    return accumulator(f, chained ? Spread::near : spread(row / 4 + column / 4),
                       numerics::random_bits(seed, static_cast<std::uint64_t>(Stream::c), index));
  }

 private:
  /// 2^20 elements are set aside for each instruction of a tile's chain.
  constexpr std::uint32_t element_of(const numerics::Format& f, Stream stream, std::uint32_t tile,
                                     std::uint32_t step, int line, int lines, int element) const {
    const std::uint64_t index =
        (std::uint64_t{step} << 40) +
        (std::uint64_t{tile} * static_cast<unsigned>(lines) + static_cast<unsigned>(line)) *
            static_cast<unsigned>(k) +
        static_cast<unsigned>(element);
    return operand(f, chained ? Spread::near : spread(line),
                   numerics::random_bits(seed, static_cast<std::uint64_t>(stream), index));
  }
};

/// Lengths at which a chain's accumulator is recorded.
inline constexpr int kChainLengths[] = {1, 2, 4, 16, 64, 256};

/// The hash of a set of results is the sum, modulo 2^64, of their fingerprints: it does not depend
/// on the order in which a GPU's threads add them. Mixing: the finaliser of SplitMix64.
constexpr std::uint64_t fingerprint(std::uint32_t index, std::uint32_t result) {
  std::uint64_t x = (std::uint64_t{index} << 32 | result) + 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

/// Sweeps over all f32 inputs are hashed in blocks of 2^20 consecutive bit patterns.
inline constexpr int kSweepBlockBits = 20;
inline constexpr std::uint32_t kSweepBlocks = 1u << (32 - kSweepBlockBits);
/// Samples kept of each block: its inputs number i * kSampleStride (a prime), i < kSamples.
inline constexpr std::uint32_t kSamples = 8;
inline constexpr std::uint32_t kSampleStride = 130'981;
/// The octave of a function: inputs 1.0 up to the float below 2.0.
inline constexpr std::uint32_t kOctaveFirst = 0x3F800000u;
inline constexpr std::uint32_t kOctaveSize = 1u << 23;

/// The attention kernel: one CTA, one query block, two key blocks, one scale per operand.
inline constexpr int kAttentionRows = 64;
inline constexpr int kAttentionBlock = 128;
inline constexpr int kAttentionBlocks = 2;
inline constexpr int kAttentionKeys = kAttentionBlocks * kAttentionBlock;
inline constexpr int kAttentionChannels = 128;
/// f32(128^-1/2 * log2 e), and the factor of P before it becomes a code.
inline constexpr float kScoreScale = static_cast<float>(0.08838834764831845 * std::numbers::log2e);
inline constexpr float kLargestE4m3 = 448;

/// Value of an input element: a sum of four uniform 16-bit numbers, exact in f32, in (-2, 2).
constexpr float attention_input(std::uint64_t seed, Stream stream, std::uint32_t index) {
  const std::uint32_t first =
      numerics::random_bits(seed, static_cast<std::uint64_t>(stream), 2 * std::uint64_t{index});
  const std::uint32_t second =
      numerics::random_bits(seed, static_cast<std::uint64_t>(stream), 2 * std::uint64_t{index} + 1);
  const std::uint32_t sum = (first & 0xFFFF) + (first >> 16) + (second & 0xFFFF) + (second >> 16);
  return static_cast<float>(static_cast<int>(sum >> 2) - 0x8000) * 0x1p-14f;
}

}  // namespace karat::evidence
