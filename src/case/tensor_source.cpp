// Names, shapes and slices; one small class per kind of file.
#include "karat/case/tensor_source.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "karat/case/memory.hpp"
#include "karat/files/box.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/files/load.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::cases {
namespace {

using files::Shape;
using files::Tensor;
using files::TensorInfo;

/// "stages/tap/0/0/12/s" -> "tap.0.0.12.s"
std::string stage_name(std::string_view name) {
  for (const std::string_view group : {"stages/", "inputs/"})
    if (name.starts_with(group)) name.remove_prefix(group.size());
  std::string stage(name);
  std::replace(stage.begin(), stage.end(), '/', '.');
  return stage;
}

/// safetensors and npy. Rows that lie together are read by themselves; of others, and of npy, the
/// tensor last asked for stays in memory.
class MemorySource final : public TensorSource {
 public:
  explicit MemorySource(const std::filesystem::path& path)
      : TensorSource(path.string()),
        path_(path),
        kind_(files::file_kind(path)),
        list_(files::list_tensors(path)) {}
  const std::vector<TensorInfo>& list() const override { return list_; }
  files::Metadata metadata() const override {
    const bool has_texts = kind_ == files::FileKind::safetensors;
    return has_texts ? files::read_safetensors_metadata(path_) : files::Metadata{};
  }
  Tensor read(const std::string& name) const override {
    return files::load_tensors(path_, {name}).tensors.begin()->second;
  }
  Tensor read_part(const std::string& name, const Shape& offset,
                   const Shape& count) const override {
    constexpr std::size_t kWorthItsOwnRead = 4096;
    const TensorInfo& whole = info(name);
    if (kind_ == files::FileKind::safetensors &&
        files::run_bytes(whole.dtype, whole.shape, count) >= kWorthItsOwnRead)
      return files::read_safetensors_part(path_, name, offset, count);
    const std::lock_guard lock(reading_);
    if (cached_name_ != name) {
      cached_ = {};
      cached_ = read(name);
      cached_name_ = name;
    }
    return box_of(cached_.dtype, cached_.shape, cached_.bytes, offset, count);
  }

 private:
  std::filesystem::path path_;
  files::FileKind kind_;
  std::vector<TensorInfo> list_;
  mutable std::mutex reading_;
  mutable std::string cached_name_;
  mutable Tensor cached_;
};

/// The bytes of a rows x columns array, columns first.
std::vector<std::byte> transposed(const Tensor& tensor, std::size_t rows, std::size_t columns) {
  const std::size_t size = files::info(tensor.dtype).size;
  std::vector<std::byte> bytes(tensor.bytes.size());
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j)
      std::copy_n(&tensor.bytes[(i * columns + j) * size], size, &bytes[(j * rows + i) * size]);
  return bytes;
}

class Hdf5Source final : public TensorSource {
 public:
  explicit Hdf5Source(const std::filesystem::path& path)
      : TensorSource(path.string()), reader_(path) {
    const auto& root = reader_.attributes("");
    const auto schema = root.find("schema");
    if (schema == root.end() || reader_.seal()) return;
    const auto* text = std::get_if<std::string>(&schema->second);
    if (text != nullptr && text->starts_with("karat-"))
      throw Error(ErrorKind::input_output, subject(),
                  "calls itself " + *text + " but its seal is missing or damaged",
                  "make or copy it again");
  }
  const std::vector<TensorInfo>& list() const override { return reader_.tensors(); }
  files::Metadata metadata() const override {
    files::Metadata metadata;
    for (const auto& [name, value] : reader_.attributes(""))
      if (const auto* text = std::get_if<std::string>(&value)) metadata[name] = *text;
    return metadata;
  }
  Tensor read(const std::string& name) const override { return reader_.read(name); }
  Tensor read_part(const std::string& name, const Shape& offset,
                   const Shape& count) const override {
    const std::lock_guard lock(reading_);
    return reader_.read_part(name, offset, count);
  }

 private:
  files::Hdf5Reader reader_;
  mutable std::mutex reading_;
};

}  // namespace

std::unique_ptr<TensorSource> TensorSource::open(const std::filesystem::path& path) {
  if (files::file_kind(path) == files::FileKind::hdf5) return std::make_unique<Hdf5Source>(path);
  return std::make_unique<MemorySource>(path);
}

std::optional<std::string> TensorSource::find(std::string_view stage) const {
  for (const TensorInfo& tensor : list())
    if (stage_name(tensor.name) == stage) return tensor.name;
  if (stage == "o" && list().size() == 1 && subject_.ends_with(".npy")) return list()[0].name;
  return std::nullopt;
}

const TensorInfo& TensorSource::info(const std::string& name) const {
  const auto found = std::find_if(list().begin(), list().end(),
                                  [&](const TensorInfo& tensor) { return tensor.name == name; });
  if (found == list().end())
    throw Error(ErrorKind::input_output, subject_, "holds no tensor \"" + name + "\"",
                "list it with karat inspect");
  if (!found->problem.empty())
    throw Error(ErrorKind::input_output, subject_ + ": " + name, found->problem,
                "store it as a plain array");
  return *found;
}

HeadShape TensorSource::head_shape(const std::string& name, Extents extents,
                                   TensorLayout layout) const {
  Shape shape = info(name).shape;
  const std::size_t rank = extents == Extents::matrix ? 4 : 3;
  if (shape.size() > rank || shape.size() + 2 < rank)
    throw Error(
        ErrorKind::usage, subject_ + ": " + name,
        "shape " + files::to_string(shape) + " has " + std::to_string(shape.size()) + " dimensions",
        extents == Extents::matrix ? "store batch, head, token, channel"
                                   : "store batch, head, row");
  if (layout == TensorLayout::bshd && extents == Extents::matrix) {
    if (shape.size() == rank - 2) shape.insert(shape.begin() + 1, 1);  // [S,D] -> [S,1,D]
    if (shape.size() == rank - 1) shape.insert(shape.begin(), 1);
    std::swap(shape[1], shape[2]);
  }
  while (shape.size() < rank) shape.insert(shape.begin(), 1);
  if (layout == TensorLayout::bhds && rank == 4) std::swap(shape[2], shape[3]);
  return {shape[0], shape[1], shape[2], rank == 4 ? shape[3] : 1};
}

Tensor TensorSource::head(const std::string& name, Extents extents, TensorLayout layout,
                          std::size_t batch, std::size_t head) const {
  const HeadShape size = head_shape(name, extents, layout);
  if (batch >= size.batch || head >= size.heads)
    throw Error(ErrorKind::input_output, subject_ + ": " + name,
                "shape " + files::to_string(info(name).shape) + " holds no batch " +
                    std::to_string(batch) + ", head " + std::to_string(head),
                "store the heads of q, k and v in all their tensors");
  Shape offset{batch, head, 0}, count{1, 1, size.rows};
  if (extents == Extents::matrix) {
    offset.push_back(0);
    count.push_back(size.channels);
    if (layout == TensorLayout::bshd) {
      std::swap(offset[1], offset[2]);
      std::swap(count[1], count[2]);
    }
    if (layout == TensorLayout::bhds) std::swap(count[2], count[3]);
  }
  // Leading dimensions that are missing in the file (for BSHD of one head, the middle one) are 1.
  const std::size_t rank = info(name).shape.size();
  const bool one_head = layout == TensorLayout::bshd && extents == Extents::matrix && rank == 2;
  if (one_head) {
    offset = {0, 0};
    count = {size.rows, size.channels};
  }
  offset.erase(offset.begin(), offset.end() - static_cast<std::ptrdiff_t>(rank));
  count.erase(count.begin(), count.end() - static_cast<std::ptrdiff_t>(rank));
  Tensor part = read_part(name, offset, count);
  if (extents == Extents::matrix && layout == TensorLayout::bhds)
    part.bytes = transposed(part, size.channels, size.rows);
  part.shape = extents == Extents::matrix ? Shape{size.rows, size.channels} : Shape{size.rows};
  return part;
}

TensorLayout parse_layout(std::string_view name) {
  if (name == "BHSD") return TensorLayout::bhsd;
  if (name == "BSHD") return TensorLayout::bshd;
  throw Error(ErrorKind::usage, "layout", "\"" + std::string(name) + "\" is not known",
              "give BHSD or BSHD");
}

}  // namespace karat::cases
