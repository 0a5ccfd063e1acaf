// Tensors from whatever file a user has: safetensors, .npy or HDF5, told apart by their content.
// Endings do not matter.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::files {

enum class FileKind { safetensors, npy, hdf5 };

/// Throws Error(input_output) for any other content, with a hint for zip archives (.npz, .pt).
FileKind file_kind(const std::filesystem::path& path);

/// The tensors called `names`, or all that can be read if none are named, with the file's texts
/// (`__metadata__` of safetensors, text attributes of an HDF5 root) as metadata. A .npy holds one,
/// called like the file without its ending; an HDF5 dataset is called by its path without a leading
/// slash. Throws Error(input_output), subject "file: tensor", if one is missing or cannot be read.
TensorFile load_tensors(const std::filesystem::path& path,
                        const std::vector<std::string>& names = {});

/// Everything inside, sorted by name, with the problem of what load_tensors() would leave out; no
/// values are read.
std::vector<TensorInfo> list_tensors(const std::filesystem::path& path);

}  // namespace karat::files
