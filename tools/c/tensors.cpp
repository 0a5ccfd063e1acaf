// See tensors.hpp.
#include "tensors.hpp"

#include <nlohmann/json.hpp>

#include "call.hpp"
#include "karat/case/memory.hpp"

karat_tensors::karat_tensors(karat::files::TensorFile file) {
  for (auto& [name, tensor] : file.tensors) {
    if (tensor.shape.size() > KARAT_MAX_RANK)
      throw karat::Error(karat::ErrorKind::usage, name,
                         "has " + std::to_string(tensor.shape.size()) + " dimensions",
                         "reshape it to at most " + std::to_string(KARAT_MAX_RANK));
    names.push_back(name);
    tensors.push_back(std::move(tensor));
  }
  metadata = karat::files::Json(file.metadata).dump();
}

namespace karat::c {
namespace {

/// Arrays of the caller by stage name.
class BorrowedSource final : public cases::TensorSource {
 public:
  explicit BorrowedSource(const karat_candidate& candidate) : TensorSource("candidate") {
    for (std::size_t i = 0; i < candidate.count; ++i) {
      list_.push_back(info_of(candidate.arrays[i], required(candidate.names[i], "names")));
      bytes_.push_back(bytes_of(candidate.arrays[i], list_.back()));
    }
  }
  const std::vector<files::TensorInfo>& list() const override { return list_; }
  files::Tensor read(const std::string& name) const override {
    const files::TensorInfo& tensor = info(name);
    return files::make_tensor(tensor.dtype, tensor.shape, bytes(tensor));
  }

 protected:
  files::Tensor read_part(const std::string& name, const files::Shape& offset,
                          const files::Shape& count) const override {
    const files::TensorInfo& tensor = info(name);
    return cases::box_of(tensor.dtype, tensor.shape, bytes(tensor), offset, count);
  }

 private:
  std::span<const std::byte> bytes(const files::TensorInfo& tensor) const {
    return bytes_[static_cast<std::size_t>(&tensor - list_.data())];
  }

  std::vector<files::TensorInfo> list_;
  std::vector<std::span<const std::byte>> bytes_;
};

}  // namespace

karat_tensors* handed_out(files::TensorFile file) { return new karat_tensors(std::move(file)); }

files::DType dtype_of(const char* name) {
  const auto dtype = files::dtype_named(required(name, "type"));
  if (dtype) return *dtype;
  std::string known;
  for (const files::DTypeInfo& row : files::dtypes())
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  throw Error(ErrorKind::usage, "type", "\"" + std::string(name) + "\" is not known",
              "give one of " + known);
}

files::TensorInfo info_of(const karat_array& array, const std::string& name) {
  if (array.rank < 0 || array.rank > KARAT_MAX_RANK)
    throw Error(ErrorKind::usage, name, "has rank " + std::to_string(array.rank),
                "give 0 to " + std::to_string(KARAT_MAX_RANK));
  files::TensorInfo info{.name = name, .dtype = dtype_of(array.type), .shape = {}, .problem = {}};
  for (int d = 0; d < array.rank; ++d) {
    if (array.shape[d] < 0)
      throw Error(ErrorKind::usage, name, "has a negative extent", "give extents from 0");
    info.shape.push_back(static_cast<std::size_t>(array.shape[d]));
  }
  if (!files::checked_bytes(info.dtype, info.shape))
    throw Error(ErrorKind::usage, name, "has an absurd shape " + files::to_string(info.shape),
                "check it");
  return info;
}

std::span<const std::byte> bytes_of(const karat_array& array, const files::TensorInfo& info) {
  const std::size_t size = *files::checked_bytes(info.dtype, info.shape);
  if (size > 0) required(array.data, info.name.c_str());
  return {static_cast<const std::byte*>(array.data), size};
}

std::unique_ptr<cases::TensorSource> source_of(const karat_candidate& candidate) {
  if (candidate.path != nullptr) return cases::TensorSource::open(candidate.path);
  if (candidate.count > 0) {
    required(candidate.names, "names");
    required(candidate.arrays, "arrays");
  }
  return std::make_unique<BorrowedSource>(candidate);
}

}  // namespace karat::c

size_t karat_tensors_count(const karat_tensors* tensors) {
  return tensors == nullptr ? 0 : tensors->names.size();
}
const char* karat_tensors_name(const karat_tensors* tensors, size_t i) {
  return tensors->names[i].c_str();
}
karat_array karat_tensors_array(const karat_tensors* tensors, size_t i) {
  const karat::files::Tensor& tensor = tensors->tensors[i];
  karat_array array{.data = tensor.bytes.data(),
                    .type = karat::files::info(tensor.dtype).name.data(),
                    .rank = static_cast<int32_t>(tensor.shape.size()),
                    .shape = {}};
  for (std::size_t d = 0; d < tensor.shape.size(); ++d)
    array.shape[d] = static_cast<int64_t>(tensor.shape[d]);
  return array;
}
const char* karat_tensors_metadata(const karat_tensors* tensors) {
  return tensors->metadata.c_str();
}
void karat_tensors_free(karat_tensors* tensors) { delete tensors; }
