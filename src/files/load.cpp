// One entrance to the three readers. See karat/files/load.hpp.
#include "karat/files/load.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <variant>

#include "byte_source.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/files/npy.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"
#include "little_endian.hpp"
#include "printable.hpp"

namespace karat::files {
namespace {

bool has_text(const ByteSource& source, std::uint64_t offset, std::string_view text) {
  return source.size() >= offset && source.size() - offset >= text.size() &&
         source.read_text(offset, text.size()) == text;
}

/// At the start, or after a user block: at 512, 1024, 2048, ...
bool is_hdf5(const ByteSource& source) {
  constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
  for (std::uint64_t at = 0; at < source.size(); at = at == 0 ? 512 : 2 * at) {
    if (has_text(source, at, kSignature)) return true;
  }
  return false;
}

/// A length that lies in the file and a brace after it; safetensors has no magic of its own.
bool is_safetensors(const ByteSource& source) {
  std::array<std::byte, 8> length{};
  if (!has_text(source, length.size(), "{")) return false;
  source.read(0, length);
  return from_little_endian<std::uint64_t>(length) <= source.size() - length.size();
}

TensorFile load_npy(const std::filesystem::path& path, const std::vector<std::string>& names) {
  const std::string name = path.stem().string();
  for (const std::string& wanted : names) {
    if (wanted == name) continue;
    throw Error(ErrorKind::input_output, path.string() + ": " + printable(wanted),
                "is not in the file, a .npy that holds " + printable(name),
                "rename the file or put the tensors into one safetensors file");
  }
  return {.tensors = {{name, read_npy(path)}}, .metadata = {}};
}

TensorFile load_safetensors(const std::filesystem::path& path,
                            const std::vector<std::string>& names) {
  return names.empty() ? read_safetensors(path) : read_safetensors(path, names);
}

TensorFile load_hdf5(const std::filesystem::path& path, const std::vector<std::string>& names) {
  const Hdf5Reader reader(path);
  TensorFile file;
  for (const auto& [name, value] : reader.attributes("")) {
    if (const auto* text = std::get_if<std::string>(&value)) file.metadata[name] = *text;
  }
  for (const std::string& name : names) file.tensors[name] = reader.read(name);
  if (names.empty()) {
    for (const TensorInfo& tensor : reader.tensors()) {
      if (tensor.problem.empty()) file.tensors[tensor.name] = reader.read(tensor.name);
    }
  }
  return file;
}

}  // namespace

FileKind file_kind(const std::filesystem::path& path) {
  const ByteSource source(path);
  if (has_text(source, 0, "\x93NUMPY")) return FileKind::npy;
  if (is_safetensors(source)) return FileKind::safetensors;
  if (is_hdf5(source)) return FileKind::hdf5;
  if (has_text(source, 0, "PK\x03\x04")) {
    throw source.error("is a zip archive (.npz or PyTorch)",
                       "save the tensors with safetensors.torch.save_file or numpy.save");
  }
  throw source.error("is neither safetensors, .npy nor HDF5, or is damaged", "check the file");
}

TensorFile load_tensors(const std::filesystem::path& path, const std::vector<std::string>& names) {
  switch (file_kind(path)) {
    case FileKind::npy:
      return load_npy(path, names);
    case FileKind::safetensors:
      return load_safetensors(path, names);
    case FileKind::hdf5:
      return load_hdf5(path, names);
  }
  return {};
}

std::vector<TensorInfo> list_tensors(const std::filesystem::path& path) {
  switch (file_kind(path)) {
    case FileKind::npy:
      return {list_npy(path)};
    case FileKind::safetensors:
      return list_safetensors(path);
    case FileKind::hdf5:
      return Hdf5Reader(path).tensors();
  }
  return {};
}

}  // namespace karat::files
