// NumPy's .npy, one array a file. Formats NumPy cannot name (e4m3, e5m2, e8m0, bf16) are written as
// unsigned codes beside a note, FILE.npy.json, that names them: {"dtype": "e4m3"}.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "karat/files/tensor.hpp"

namespace karat::files {

/// The array of a file of format version 1, 2 or 3 (also Python 2's, whose shapes read "(2L,)"), in
/// C order: Fortran order is transposed and big-endian bytes are swapped. `note` names the format
/// of codes stored as `u1`, `V1`, `u2`, `V2`. Throws Error(input_output) for anything else than
/// plain numbers (objects, text, records, complex), a malformed header, bytes that are missing or
/// left over, or a note that does not fit.
Tensor parse_npy(std::span<const std::byte> file, const std::string& subject,
                 std::optional<DType> note = std::nullopt);

/// The same from a file, with its note if there is one, read straight into the tensor's memory.
Tensor read_npy(const std::filesystem::path& path);
/// Type and shape under the name of the file without its ending; no values are read.
TensorInfo list_npy(const std::filesystem::path& path);

/// The file as bytes: version 1, header padded with blanks to a multiple of 64.
std::vector<std::byte> format_npy(const Tensor& tensor);
/// The same written atomically, with a note where the type needs one; a note left from an earlier
/// file of that name is removed where it needs none.
void write_npy(const std::filesystem::path& path, const Tensor& tensor);

}  // namespace karat::files
