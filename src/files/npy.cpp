// .npy in and out, with the note that names what NumPy cannot.
// See karat/files/npy.hpp.
#include "karat/files/npy.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "allocate.hpp"
#include "byte_source.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "npy_header.hpp"
#include "printable.hpp"

namespace karat::files {
namespace {

namespace fs = std::filesystem;

enum class ByteOrder { little, big };

struct ArrayType {
  DType dtype;
  ByteOrder order;
};

fs::path note_path(const fs::path& path) { return path.string() + ".json"; }

/// The type that `descr` names by itself.
std::optional<DType> plain_dtype(std::string_view kind_and_size) {
  for (const DTypeInfo& row : dtypes()) {
    if (row.npy_names_it && row.npy.substr(1) == kind_and_size) return row.dtype;
  }
  return std::nullopt;
}

ArrayType array_type(const std::string& descr, std::optional<DType> note,
                     const ByteSource& source) {
  const std::string_view order = std::string_view(descr).substr(0, 1);
  const std::string kind = descr.substr(order.size());
  const bool known_order = !order.empty() && std::string_view("<>|=").find(order) != order.npos;
  const bool opaque = kind == "V1" || kind == "V2";
  const std::string codes = opaque ? "u" + kind.substr(1) : kind;
  const auto plain = known_order ? plain_dtype(codes) : std::nullopt;
  if (!plain) {
    throw source.error("holds " + printable(descr) + ", which are no plain numbers",
                       "save f2, f4, f8, i1 to i8, u1 to u8 or b1");
  }
  if (opaque && !note) {
    throw source.error(
        "holds " + printable(descr) + ", bytes without a number format",
        "name it in " + note_path(source.subject()).string() + ", such as {\"dtype\": \"e4m3\"}");
  }
  const bool fits =
      !note || *note == *plain || (!info(*note).npy_names_it && info(*note).npy.substr(1) == codes);
  if (!fits) {
    throw source.error(
        "holds " + printable(descr) + " but its note says " + std::string(info(*note).name),
        "remove or correct the note");
  }
  return {.dtype = note.value_or(*plain),
          .order = order == ">" ? ByteOrder::big : ByteOrder::little};
}

/// Elements from Fortran order (first index fastest) to C order (last index fastest).
void transpose_to_c(std::span<const std::byte> in, const Shape& shape, std::size_t size,
                    std::span<std::byte> out) {
  Shape stride(shape.size()), at(shape.size(), 0);
  std::size_t step = size;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    stride[axis] = step;
    step *= shape[axis];
  }
  std::size_t from = 0;
  for (std::size_t to = 0; to < out.size(); to += size) {
    std::memcpy(&out[to], &in[from], size);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      from += stride[axis];
      if (++at[axis] < shape[axis]) break;
      from -= stride[axis] * shape[axis];
      at[axis] = 0;
    }
  }
}

void swap_bytes(Tensor& tensor) {
  const std::size_t size = info(tensor.dtype).size;
  for (auto first = tensor.bytes.begin(); first != tensor.bytes.end();
       first += static_cast<std::ptrdiff_t>(size)) {
    std::reverse(first, first + static_cast<std::ptrdiff_t>(size));
  }
}

Tensor read_array(const ByteSource& source, std::optional<DType> note) {
  const NpyHeader header = read_npy_header(source);
  const ArrayType type = array_type(header.descr, note, source);
  const std::uint64_t held = source.size() - header.data_offset;
  if (checked_bytes(type.dtype, header.shape) != held) {
    throw source.error("holds " + std::to_string(held) + " bytes of values, shape " +
                           to_string(header.shape) + " of " + printable(header.descr) +
                           " needs another number",
                       "copy or save it again");
  }
  Tensor tensor = allocate_tensor(type.dtype, header.shape, source.subject());
  source.read(header.data_offset, tensor.bytes);
  if (type.order == ByteOrder::big) swap_bytes(tensor);
  if (header.order == ArrayOrder::fortran && !tensor.bytes.empty()) {
    const std::vector<std::byte> columns = tensor.bytes;
    transpose_to_c(columns, tensor.shape, info(tensor.dtype).size, tensor.bytes);
  }
  return tensor;
}

std::optional<DType> read_note(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(note_path(path), ignored)) return std::nullopt;
  const Json note = read_json(note_path(path));
  const bool named =
      note.is_object() && note.size() == 1 && note.contains("dtype") && note["dtype"].is_string();
  const auto dtype = named ? dtype_named(note["dtype"].get<std::string>()) : std::nullopt;
  if (!dtype) {
    throw Error(ErrorKind::input_output, note_path(path).string(), "names no known dtype",
                "write {\"dtype\": \"e4m3\"} or another format");
  }
  return dtype;
}

}  // namespace

Tensor parse_npy(std::span<const std::byte> file, const std::string& subject,
                 std::optional<DType> note) {
  return read_array(ByteSource(file, subject), note);
}

Tensor read_npy(const fs::path& path) { return read_array(ByteSource(path), read_note(path)); }

TensorInfo list_npy(const fs::path& path) {
  const ByteSource source(path);
  NpyHeader header = read_npy_header(source);
  return {.name = path.stem().string(),
          .dtype = array_type(header.descr, read_note(path), source).dtype,
          .shape = std::move(header.shape),
          .problem = ""};
}

std::vector<std::byte> format_npy(const Tensor& tensor) {
  const std::string header = format_npy_header(info(tensor.dtype).npy, tensor.shape);
  const auto start = std::as_bytes(std::span(header));
  std::vector<std::byte> bytes(start.begin(), start.end());
  bytes.insert(bytes.end(), tensor.bytes.begin(), tensor.bytes.end());
  return bytes;
}

void write_npy(const fs::path& path, const Tensor& tensor) {
  const DTypeInfo& type = info(tensor.dtype);
  AtomicFile file(path);
  file.write(format_npy_header(type.npy, tensor.shape));
  file.write(tensor.bytes);
  // Codes never stand under their name without a note.
  if (!type.npy_names_it) write_json(note_path(path), {{"dtype", type.name}});
  file.commit();
  std::error_code ignored;
  if (type.npy_names_it) fs::remove(note_path(path), ignored);
}

}  // namespace karat::files
