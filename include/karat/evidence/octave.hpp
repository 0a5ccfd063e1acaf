// The results of one octave of a function, 2^23 words, packed as differences of two bits each.
// Header-only: the GPU programs pack, the emulator unpacks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace karat::evidence {

/// values[i] = values[i-1] + direction * symbol with symbol 0, 1 or 2, four symbols to a byte, low
/// bits first; symbol 3 takes the next whole word from `escapes`. values[0] is an escape.
struct PackedOctave {
  std::vector<std::uint8_t> symbols;
  std::vector<std::uint32_t> escapes;
};

/// @param direction 1 for a rising function, -1 for a falling one
inline PackedOctave pack_octave(const std::vector<std::uint32_t>& values, int direction) {
  PackedOctave packed;
  packed.symbols.resize((values.size() + 3) / 4);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::int64_t step = i == 0 ? -1
                                     : direction * (static_cast<std::int64_t>(values[i]) -
                                                    static_cast<std::int64_t>(values[i - 1]));
    const bool small = step >= 0 && step <= 2;
    packed.symbols[i / 4] |= static_cast<std::uint8_t>((small ? step : 3) << 2 * (i % 4));
    if (!small) packed.escapes.push_back(values[i]);
  }
  return packed;
}

/// Nothing when the symbols ask for more escapes than there are, or leave some over.
inline std::optional<std::vector<std::uint32_t>> unpack_octave(const PackedOctave& packed,
                                                               int direction) {
  std::vector<std::uint32_t> values(packed.symbols.size() * 4);
  std::size_t used = 0;
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t symbol = packed.symbols[i / 4] >> 2 * (i % 4) & 3u;
    if (symbol == 3) {
      if (used == packed.escapes.size()) return std::nullopt;
      value = packed.escapes[used++];
    } else {
      value += static_cast<std::uint32_t>(direction) * symbol;
    }
    values[i] = value;
  }
  if (used != packed.escapes.size()) return std::nullopt;
  return values;
}

}  // namespace karat::evidence
