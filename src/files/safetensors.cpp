// safetensors in and out. The header is checked completely before any memory is set aside for a
// tensor, so what is allocated never exceeds what the file really holds.
#include "karat/files/safetensors.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <tuple>
#include <utility>

#include "allocate.hpp"
#include "byte_source.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/box.hpp"
#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "little_endian.hpp"
#include "printable.hpp"

namespace karat::files {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::size_t kLengthBytes = 8;
constexpr const char* kSaveAgain = "save it again with safetensors";

/// A tensor's line of the header; `begin` and `end` count from the first byte after the header.
struct Entry {
  TensorInfo info;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

struct Header {
  std::vector<Entry> entries;  ///< in the order of their values
  Metadata metadata;
  std::uint64_t data_offset = 0;
};

[[noreturn]] void refuse(const ByteSource& source, std::string_view tensor,
                         const std::string& problem, const std::string& action = kSaveAgain) {
  throw Error(ErrorKind::input_output, source.subject() + ": " + printable(tensor), problem,
              action);
}

std::uint64_t whole_number(const Json& value, const ByteSource& source, const std::string& tensor,
                           const char* field) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  refuse(source, tensor, std::string(field) + " holds something else than whole numbers");
}

std::optional<DType> dtype_called(std::string_view name) {
  const auto row = std::ranges::find(dtypes(), name, &DTypeInfo::safetensors);
  return row == dtypes().end() ? std::nullopt : std::optional(row->dtype);
}

/// A type that karat has not, or too many dimensions, is the entry's own problem; the values of a
/// known type must fill the entry's bytes.
TensorInfo parse_info(const ByteSource& source, const std::string& name, const Json& dtype,
                      Shape shape, std::uint64_t bytes) {
  if (!dtype.is_string()) refuse(source, name, "dtype is not a string");
  TensorInfo info{.name = name, .dtype = {}, .shape = std::move(shape), .problem = {}};
  const auto& type = dtype.get_ref<const std::string&>();
  if (const auto known = dtype_called(type)) {
    info.dtype = *known;
    if (checked_bytes(info.dtype, info.shape) != bytes)
      refuse(source, name,
             "shape " + to_string(info.shape) + " of " + type + " does not fill its " +
                 std::to_string(bytes) + " bytes");
  } else {
    info.problem = "is stored as " + printable(type) + ", a type that karat does not read";
  }
  if (info.shape.size() > kMaxRank)
    info.problem = "has " + std::to_string(info.shape.size()) + " dimensions, more than " +
                   std::to_string(kMaxRank);
  return info;
}

Entry parse_entry(const ByteSource& source, const std::string& name, const Json& fields) {
  const auto list_of = [&](const char* field) -> const Json& {
    const Json& list = fields.at(field);
    if (!list.is_array()) refuse(source, name, std::string(field) + " is not an array");
    return list;
  };
  if (!fields.is_object() || fields.size() != 3 || !fields.contains("dtype") ||
      !fields.contains("shape") || !fields.contains("data_offsets")) {
    refuse(source, name, "needs exactly the fields dtype, shape and data_offsets");
  }
  Shape shape;
  for (const Json& n : list_of("shape")) shape.push_back(whole_number(n, source, name, "shape"));
  const Json& offsets = list_of("data_offsets");
  if (offsets.size() != 2) refuse(source, name, "data_offsets are not two numbers");
  Entry entry{.info = {},
              .begin = whole_number(offsets[0], source, name, "data_offsets"),
              .end = whole_number(offsets[1], source, name, "data_offsets")};
  if (entry.begin > entry.end) refuse(source, name, "data_offsets run backwards");
  entry.info =
      parse_info(source, name, fields.at("dtype"), std::move(shape), entry.end - entry.begin);
  return entry;
}

Metadata parse_metadata(const ByteSource& source, const Json& fields) {
  if (!fields.is_object()) refuse(source, kMetadataKey, "is not an object");
  Metadata metadata;
  for (const auto& [key, value] : fields.items()) {
    if (!value.is_string()) refuse(source, kMetadataKey, printable(key) + " is not a string");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

/// The values must lie one after another from the first byte to the last.
void require_contiguous(const ByteSource& source, const Header& header) {
  std::uint64_t reached = 0;
  for (const Entry& entry : header.entries) {
    if (entry.begin < reached) refuse(source, entry.info.name, "overlaps another tensor");
    if (entry.begin > reached) refuse(source, entry.info.name, "has a hole before it");
    reached = entry.end;
  }
  const std::uint64_t held = source.size() - header.data_offset;
  if (reached == held) return;
  throw source.error("holds " + std::to_string(held) + " bytes of values where its header says " +
                         std::to_string(reached),
                     "copy or save it again");
}

Header parse_header(const ByteSource& source) {
  std::array<std::byte, kLengthBytes> length_bytes{};
  if (source.size() < kLengthBytes) throw source.error("is too short for safetensors", kSaveAgain);
  source.read(0, length_bytes);
  const auto length = from_little_endian<std::uint64_t>(length_bytes);
  if (length > kMaxSafetensorsHeader || length > source.size() - kLengthBytes) {
    throw source.error("says its header has " + std::to_string(length) + " bytes",
                       "is it safetensors and complete?");
  }
  Header header{.entries = {}, .metadata = {}, .data_offset = kLengthBytes + length};
  const std::string text = source.read_text(kLengthBytes, static_cast<std::size_t>(length));
  const Json json = parse_json(text, source.subject() + ": header");
  if (!json.is_object() || text.front() != '{') {
    throw source.error("has a header that is not a JSON object", kSaveAgain);
  }
  for (const auto& [name, fields] : json.items()) {
    if (name == kMetadataKey) {
      header.metadata = parse_metadata(source, fields);
    } else {
      header.entries.push_back(parse_entry(source, name, fields));
    }
  }
  std::ranges::sort(header.entries, {}, [](const Entry& entry) {
    return std::tie(entry.begin, entry.end, entry.info.name);
  });
  require_contiguous(source, header);
  return header;
}

[[noreturn]] void refuse_missing(const ByteSource& source, const std::string& name) {
  refuse(source, name, "is not in the file", "list the file's tensors with karat inspect");
}

void require_readable(const ByteSource& source, const TensorInfo& info) {
  if (!info.problem.empty())
    refuse(source, info.name, info.problem,
           "store it in another way, or ask for other tensors by name");
}

Tensor read_values(const ByteSource& source, const Header& header, const Entry& entry) {
  require_readable(source, entry.info);
  Tensor tensor = allocate_tensor(entry.info.dtype, entry.info.shape,
                                  source.subject() + ": " + printable(entry.info.name));
  source.read(header.data_offset + entry.begin, tensor.bytes);
  return tensor;
}

TensorFile read_all(const ByteSource& source) {
  Header header = parse_header(source);
  TensorFile file{.tensors = {}, .metadata = std::move(header.metadata)};
  for (const Entry& entry : header.entries)
    if (entry.info.problem.empty())
      file.tensors.emplace(entry.info.name, read_values(source, header, entry));
  return file;
}

using Placed = std::pair<const std::string, Tensor>;

/// Widest elements first, then by name.
std::vector<const Placed*> file_order(const Tensors& tensors) {
  std::vector<const Placed*> order;
  for (const Placed& placed : tensors) order.push_back(&placed);
  std::ranges::stable_sort(order, std::greater<>{},
                           [](const Placed* placed) { return info(placed->second.dtype).size; });
  return order;
}

/// Length and padded header of a file whose values follow in `order`.
std::string format_header(const std::vector<const Placed*>& order, const Metadata& metadata) {
  Json json = Json::object();
  if (!metadata.empty()) json[std::string(kMetadataKey)] = metadata;
  std::size_t offset = 0;
  for (const Placed* placed : order) {
    const auto& [name, tensor] = *placed;
    if (name == kMetadataKey) {
      throw Error(ErrorKind::internal, "safetensors", "no tensor may be called __metadata__");
    }
    json[name] = {{"dtype", info(tensor.dtype).safetensors},
                  {"shape", tensor.shape},
                  {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }
  std::string text;
  try {
    text = json.dump();
  } catch (const Json::type_error&) {
    throw Error(ErrorKind::internal, "safetensors", "a name or metadata text is not UTF-8");
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');
  if (text.size() > kMaxSafetensorsHeader) {
    throw Error(ErrorKind::internal, "safetensors", "the header exceeds 100 MB");
  }
  const auto length = to_little_endian(std::uint64_t{text.size()});
  return std::string(reinterpret_cast<const char*>(length.data()), length.size()) + text;
}

}  // namespace

TensorFile parse_safetensors(std::span<const std::byte> file, const std::string& subject) {
  return read_all(ByteSource(file, subject));
}

TensorFile read_safetensors(const std::filesystem::path& path) {
  return read_all(ByteSource(path));
}

TensorFile read_safetensors(const std::filesystem::path& path,
                            const std::vector<std::string>& names) {
  const ByteSource source(path);
  Header header = parse_header(source);
  std::map<std::string_view, const Entry*> entries;
  for (const Entry& entry : header.entries) entries.emplace(entry.info.name, &entry);
  TensorFile file;
  for (const std::string& name : names) {
    const auto found = entries.find(name);
    if (found == entries.end()) refuse_missing(source, name);
    file.tensors[name] = read_values(source, header, *found->second);
  }
  file.metadata = std::move(header.metadata);
  return file;
}

Tensor read_safetensors_part(const std::filesystem::path& path, const std::string& name,
                             const Shape& offset, const Shape& count) {
  const ByteSource source(path);
  const Header header = parse_header(source);
  const auto entry =
      std::ranges::find(header.entries, name, [](const Entry& each) { return each.info.name; });
  if (entry == header.entries.end()) refuse_missing(source, name);
  const TensorInfo& whole = entry->info;
  require_readable(source, whole);
  bool inside = offset.size() == whole.shape.size() && count.size() == whole.shape.size();
  for (std::size_t d = 0; inside && d < count.size(); ++d)
    inside = offset[d] <= whole.shape[d] && count[d] <= whole.shape[d] - offset[d];
  if (!inside)
    refuse(source, name,
           "shape " + to_string(whole.shape) + " holds no box " + to_string(count) + " from " +
               to_string(offset),
           "has the file changed?");
  Tensor box = allocate_tensor(whole.dtype, count, source.subject() + ": " + printable(name));
  for_each_run(whole.dtype, whole.shape, offset, count,
               [&](std::size_t from, std::size_t to, std::size_t bytes) {
                 source.read(header.data_offset + entry->begin + from,
                             std::span(box.bytes).subspan(to, bytes));
               });
  return box;
}

Tensor read_safetensors(const std::filesystem::path& path, const std::string& name) {
  return std::move(read_safetensors(path, std::vector{name}).tensors.at(name));
}

Metadata read_safetensors_metadata(const std::filesystem::path& path) {
  return parse_header(ByteSource(path)).metadata;
}

std::vector<TensorInfo> list_safetensors(const std::filesystem::path& path) {
  std::vector<TensorInfo> list;
  for (Entry& entry : parse_header(ByteSource(path)).entries) list.push_back(std::move(entry.info));
  std::ranges::sort(list, {}, &TensorInfo::name);
  return list;
}

std::vector<std::byte> format_safetensors(const Tensors& tensors, const Metadata& metadata) {
  const auto order = file_order(tensors);
  const std::string header = format_header(order, metadata);
  const auto* first = reinterpret_cast<const std::byte*>(header.data());
  std::vector<std::byte> bytes(first, first + header.size());
  for (const Placed* placed : order) {
    bytes.insert(bytes.end(), placed->second.bytes.begin(), placed->second.bytes.end());
  }
  return bytes;
}

void write_safetensors(const std::filesystem::path& path, const Tensors& tensors,
                       const Metadata& metadata) {
  const auto order = file_order(tensors);
  AtomicFile file(path);
  file.write(format_header(order, metadata));
  for (const Placed* placed : order) file.write(placed->second.bytes);
  file.commit();
}

}  // namespace karat::files
