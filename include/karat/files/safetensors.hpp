// safetensors: an 8-byte little-endian header length, a JSON header, then row-major values.
// Reading accepts exactly what the format allows; writing gives equal bytes for equal content.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::files {

/// Longest JSON header read or written; the limit of the format's reference implementation.
constexpr std::size_t kMaxSafetensorsHeader = 100'000'000;

/// All tensors that can be read and the `__metadata__`; an entry of a type that karat has not, or
/// of more than kMaxRank dimensions, is left out here, listed by list_safetensors() with its
/// problem, and an Error(input_output) where it is asked for by name. Throws Error(input_output)
/// with subject "file" or "file: tensor" for: a header length that is absurd or outside the file, a
/// header that is not strict JSON or has unknown fields, shape x dtype unlike the bytes, values
/// that overlap, leave a hole or end before or after the file does.
TensorFile parse_safetensors(std::span<const std::byte> file, const std::string& subject);
/// The same from a file, each tensor read straight into its memory.
TensorFile read_safetensors(const std::filesystem::path& path);
/// Those called `names`, the others left unread; one of them.
TensorFile read_safetensors(const std::filesystem::path& path,
                            const std::vector<std::string>& names);
Tensor read_safetensors(const std::filesystem::path& path, const std::string& name);
/// The box of `count` elements from `offset` of one tensor, whose other values stay unread.
/// @throws Error(input_output) where it does not lie inside
Tensor read_safetensors_part(const std::filesystem::path& path, const std::string& name,
                             const Shape& offset, const Shape& count);
/// The `__metadata__` alone.
Metadata read_safetensors_metadata(const std::filesystem::path& path);
/// Names, types and shapes, sorted by name; no values are read.
std::vector<TensorInfo> list_safetensors(const std::filesystem::path& path);

/// The file as bytes: the header padded with blanks to a multiple of 8, then the tensors, widest
/// element first and by name within a width, so that every tensor is aligned to its element.
/// Throws Error(internal) if a tensor is called `__metadata__` or a name is not UTF-8.
std::vector<std::byte> format_safetensors(const Tensors& tensors, const Metadata& metadata = {});
/// The same written atomically, without a second copy in memory.
void write_safetensors(const std::filesystem::path& path, const Tensors& tensors,
                       const Metadata& metadata = {});

}  // namespace karat::files
