// PTX inside a fat binary, the container in which nvcc embeds device code. Its layout is not
// documented; what stands here is what nvcc 13.0 writes (uncompressed, zstd, LZ4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace karat::cudart {

struct PtxImage {
  int architecture = 0;   ///< 90 of sm_90a
  bool specific = false;  ///< of sm_90a, not of sm_90
  std::string text;
};

struct FatBinary {
  std::vector<PtxImage> images;  ///< in the container's order
  int machine_code = 0;          ///< other entries: machine code of whatever architecture
};

/// The bytes a fat binary occupies, by its header. @pre 16 bytes are there
/// @throws Error(input_output) unless it begins as one
std::uint64_t fat_binary_bytes(const std::byte* header);

/// @throws Error(input_output) for bytes that are no fat binary, end early, or are compressed in
/// another way
FatBinary read_fat_binary(std::span<const std::byte> bytes);

/// The image that an H100 runs best: the highest architecture up to 9.0, sm_90a before sm_90.
/// Null where there is none.
const PtxImage* image_for_hopper(const FatBinary& binary);

}  // namespace karat::cudart
