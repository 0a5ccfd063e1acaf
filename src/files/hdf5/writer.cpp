// The parent's side of writing: sends requests to the child, seals and names the file.
// See karat/files/hdf5.hpp.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "attributes.hpp"
#include "servers.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/numerics/base/error.hpp"
#include "printable.hpp"
#include "system_error.hpp"
#include "worker.hpp"

namespace karat::files {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

struct Layout {
  DType dtype;
  Shape shape;
  Shape chunk;
};

/// Whole rows of about 1 MiB.
Shape automatic_chunk(DType dtype, const Shape& shape) {
  Shape chunk = shape;
  std::size_t room = kChunkBytes / info(dtype).size;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    chunk[axis] = std::clamp<std::size_t>(room, 1, shape[axis]);
    room /= chunk[axis];
  }
  return chunk;
}

Shape chunk_for(DType dtype, const Shape& shape, const DatasetOptions& options) {
  if (checked_count(shape) == 0 || shape.empty()) return {};
  if (!options.chunk.empty() || options.compression == Compression::none) return options.chunk;
  return automatic_chunk(dtype, shape);
}

int deflate_level(Compression compression) {
  switch (compression) {
    case Compression::none:
      return 0;
    case Compression::fast:
      return 1;
    case Compression::small:
      return 6;
  }
  return 0;
}

bool chunk_fits(const Layout& layout) {
  return layout.chunk.empty() ||
         (layout.chunk.size() == layout.shape.size() &&
          std::ranges::equal(layout.chunk, layout.shape,
                             [](std::size_t c, std::size_t n) { return c >= 1 && c <= n; }));
}

bool box_fits(const Shape& offset, const Shape& count, const Shape& shape) {
  if (offset.size() != shape.size() || count.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (offset[i] > shape[i] || count[i] > shape[i] - offset[i]) return false;
  }
  return true;
}

}  // namespace

struct Hdf5Writer::State {
  State(const std::filesystem::path& destination, std::string schema_name)
      : file(destination),
        schema(std::move(schema_name)),
        worker([path = file.temporary_path()](const Channel& channel) {
          serve_writing(channel, path);
        }) {}

  AtomicFile file;
  std::string schema;
  Worker worker;
  std::map<std::string, Layout> datasets;

  std::string subject(const std::string& name) const {
    return file.destination().string() + (name.empty() ? "" : ": " + printable(name));
  }

  void request(const std::string& name, const Json& text, std::span<const std::byte> data = {}) {
    try {
      ask(worker.channel(), text, data);
    } catch (const Broken&) {
      throw Error(ErrorKind::input_output, subject(name), worker.epitaph(), "try again");
    } catch (const Hdf5Failure& failure) {
      // A path that is wrong for the file system is the destination's, whatever was being written.
      if (failure.error != 0) {
        throw system_error(subject(""), "cannot be written", failure.error);
      }
      throw Error(ErrorKind::input_output, subject(name), "cannot be written: " + failure.text);
    }
  }

  [[noreturn]] void misuse(const std::string& name, const std::string& problem) const {
    throw Error(ErrorKind::internal, subject(name), problem);
  }
};

Hdf5Writer::Hdf5Writer(const std::filesystem::path& destination, const std::string& schema)
    : state_(std::make_unique<State>(destination, schema)) {
  state_->request("", {{"do", "create_file"}});
  set_attributes("", {{"schema", schema}});
}

Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::group(const std::string& name) {
  state_->request(name, {{"do", "group"}, {"name", name}});
}

void Hdf5Writer::create(const std::string& name, DType dtype, const Shape& shape,
                        const DatasetOptions& options) {
  Layout layout{.dtype = dtype, .shape = shape, .chunk = chunk_for(dtype, shape, options)};
  if (!chunk_fits(layout)) state_->misuse(name, "chunk does not fit shape " + to_string(shape));
  state_->request(name, {{"do", "create"},
                         {"name", name},
                         {"dtype", info(dtype).name},
                         {"shape", shape},
                         {"chunk", layout.chunk},
                         {"deflate", deflate_level(options.compression)}});
  state_->datasets.insert_or_assign(name, std::move(layout));
}

void Hdf5Writer::write_part(const std::string& name, const Shape& offset, const Shape& count,
                            std::span<const std::byte> values) {
  const auto dataset = state_->datasets.find(name);
  if (dataset == state_->datasets.end()) state_->misuse(name, "was not created");
  const Layout& layout = dataset->second;
  if (!box_fits(offset, count, layout.shape) ||
      checked_bytes(layout.dtype, count) != values.size()) {
    state_->misuse(name, "part of shape " + to_string(count) + " does not fit");
  }
  const std::size_t size = info(layout.dtype).size;
  for_each_piece(
      offset, count, layout.chunk, size, kPieceBytes, [&](const Shape& at, const Shape& piece) {
        const std::size_t bytes = *checked_bytes(layout.dtype, piece);
        state_->request(name, {{"do", "write"}, {"name", name}, {"offset", at}, {"count", piece}},
                        values.first(bytes));
        values = values.subspan(bytes);
      });
}

void Hdf5Writer::write(const std::string& name, const Tensor& tensor,
                       const DatasetOptions& options) {
  create(name, tensor.dtype, tensor.shape, options);
  write_part(name, Shape(tensor.shape.size(), 0), tensor.shape, tensor.bytes);
}

void Hdf5Writer::set_attributes(const std::string& name, const Attributes& attributes) {
  state_->request(
      name, {{"do", "attributes"}, {"name", name}, {"values", attributes_to_json(attributes)}});
}

Seal Hdf5Writer::commit() {
  state_->request("", {{"do", "close"}});
  const Seal seal = write_seal(state_->file.temporary_path(), state_->schema);
  state_->file.commit();
  return seal;
}

}  // namespace karat::files
