// The parent's side of reading: verifies the seal, asks the child, believes nothing it says.
// See karat/files/hdf5.hpp.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "allocate.hpp"
#include "byte_source.hpp"
#include "attributes.hpp"
#include "servers.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/numerics/base/error.hpp"
#include "printable.hpp"
#include "worker.hpp"

namespace karat::files {
namespace {

constexpr const char* kInspect = "list what is inside with karat inspect";

struct Listing {
  std::vector<TensorInfo> tensors;  ///< sorted by name
  std::vector<Shape> chunks;        ///< of each tensor, empty if contiguous
  std::vector<std::size_t> places;  ///< of each tensor in the child's list
  std::map<std::string, Attributes> attributes;
};

/// The child lists group by group, where "step/x" stands before "step-1".
void sort_by_name(Listing& listing) {
  std::vector<std::size_t> order(listing.tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) -> const std::string& {
    return listing.tensors[i].name;
  });
  Listing sorted;
  for (const std::size_t i : order) {
    sorted.tensors.push_back(std::move(listing.tensors[i]));
    sorted.chunks.push_back(std::move(listing.chunks[i]));
  }
  listing.tensors = std::move(sorted.tensors);
  listing.chunks = std::move(sorted.chunks);
  listing.places = std::move(order);
}

/// Throws nlohmann's exceptions or Broken for a list that is not as described.
Listing parse_listing(const Json& json) {
  Listing listing;
  for (const Json& item : json.at("datasets")) {
    const auto dtype = dtype_named(item.at("dtype").get<std::string>());
    auto shape = item.at("shape").get<Shape>();
    auto chunk = item.at("chunk").get<Shape>();
    const bool chunk_fits = chunk.empty() || chunk.size() == shape.size();
    if (!dtype || !chunk_fits || std::ranges::find(chunk, std::size_t{0}) != chunk.end()) {
      throw Broken{};
    }
    listing.tensors.push_back({.name = item.at("name").get<std::string>(),
                               .dtype = *dtype,
                               .shape = std::move(shape),
                               .problem = item.at("problem").get<std::string>()});
    listing.chunks.push_back(std::move(chunk));
  }
  for (const Json& each : json.at("attributes"))
    listing.attributes.emplace(each.at(0).get<std::string>(), attributes_from_json(each.at(1)));
  sort_by_name(listing);
  return listing;
}

}  // namespace

struct Hdf5Reader::State {
  State(const std::filesystem::path& file_path, const Hdf5ReadOptions& options)
      : path(file_path.string()), seal(verify_seal(file_path)), worker([&](const Channel& channel) {
          serve_reading(channel, file_path, options.patience);
        }) {}

  std::string path;
  std::optional<Seal> seal;
  Worker worker;
  Listing listing;

  std::string subject(const std::string& name) const {
    return path + (name.empty() ? "" : ": " + printable(name));
  }

  [[noreturn]] void refuse(const std::string& name, const std::string& problem,
                           const std::string& action = "write the file again") const {
    throw Error(ErrorKind::input_output, subject(name), problem, action);
  }

  /// Runs `exchange` with the child; its failures become Errors about `name`.
  template <class Exchange>
  void talk(const std::string& name, const Exchange& exchange) {
    try {
      exchange(worker.channel());
    } catch (const Broken&) {
      refuse(name, worker.epitaph());
    } catch (const Json::exception&) {
      refuse(name, worker.epitaph());
    } catch (const Hdf5Failure& failure) {
      refuse(name, "cannot be read as HDF5: " + printable(failure.text));
    }
  }

  std::size_t index_of(const std::string& name) const {
    const auto& tensors = listing.tensors;
    const auto found = std::ranges::lower_bound(tensors, name, {}, &TensorInfo::name);
    if (found == tensors.end() || found->name != name) {
      refuse(name, "is not in the file", kInspect);
    }
    if (!found->problem.empty())
      refuse(name, found->problem,
             "store plain numbers, codes as unsigned integers with the attribute format = \"bf16\" "
             "or another");
    return static_cast<std::size_t>(found - tensors.begin());
  }
};

Hdf5Reader::Hdf5Reader(const std::filesystem::path& path, const Hdf5ReadOptions& options)
    : state_(std::make_unique<State>(path, options)) {
  state_->talk("", [&](const Channel& channel) {
    state_->listing = parse_listing(ask(channel, {{"do", "list"}}).text);
  });
  if (seal() && text("", "schema") != seal()->schema) {
    state_->refuse("", "its seal says " + seal()->schema + ", its content says " +
                           printable(text("", "schema")));
  }
}

Hdf5Reader::~Hdf5Reader() = default;

const std::optional<Seal>& Hdf5Reader::seal() const { return state_->seal; }

const std::vector<TensorInfo>& Hdf5Reader::tensors() const { return state_->listing.tensors; }

bool Hdf5Reader::contains(const std::string& name) const {
  return std::ranges::binary_search(tensors(), name, {}, &TensorInfo::name);
}

const TensorInfo& Hdf5Reader::tensor_info(const std::string& name) const {
  return tensors()[state_->index_of(name)];
}

void Hdf5Reader::read_part(const std::string& name, const Shape& offset, const Shape& count,
                           std::span<std::byte> out) const {
  const std::size_t index = state_->index_of(name);
  const TensorInfo& about = tensors()[index];
  bool inside = offset.size() == about.shape.size() && count.size() == about.shape.size();
  for (std::size_t i = 0; inside && i < count.size(); ++i) {
    inside = offset[i] <= about.shape[i] && count[i] <= about.shape[i] - offset[i];
  }
  if (!inside || checked_bytes(about.dtype, count) != out.size()) {
    throw Error(ErrorKind::internal, state_->subject(name),
                "part of shape " + to_string(count) + " does not fit");
  }
  const auto read_piece = [&](const Shape& at, const Shape& piece) {
    const std::size_t bytes = *checked_bytes(about.dtype, piece);
    state_->talk(name, [&](const Channel& channel) {
      const auto answer =
          ask(channel, {{"do", "read"},
                        {"index", state_->listing.places[index]},
                        {"offset", at},
                        {"count", piece}});
      if (answer.data_size != bytes) throw Broken{};
      channel.receive_data(out.first(bytes));
    });
    out = out.subspan(bytes);
  };
  for_each_piece(offset, count, state_->listing.chunks[index], info(about.dtype).size, kPieceBytes,
                 read_piece);
}

Tensor Hdf5Reader::read_part(const std::string& name, const Shape& offset,
                             const Shape& count) const {
  Tensor tensor = allocate_tensor(tensor_info(name).dtype, count, state_->subject(name));
  read_part(name, offset, count, tensor.bytes);
  return tensor;
}

Tensor Hdf5Reader::read(const std::string& name) const {
  const Shape shape = tensor_info(name).shape;
  return read_part(name, Shape(shape.size(), 0), shape);
}

const Attributes& Hdf5Reader::attributes(const std::string& name) const {
  const auto found = state_->listing.attributes.find(name);
  if (found == state_->listing.attributes.end()) {
    state_->refuse(name, "is not in the file", kInspect);
  }
  return found->second;
}

namespace {

template <class T>
const T& typed(const std::string& subject, const Attributes& attributes, const std::string& name,
               const char* type) {
  const auto found = attributes.find(name);
  const T* value = found == attributes.end() ? nullptr : std::get_if<T>(&found->second);
  if (value != nullptr) return *value;
  throw Error(ErrorKind::input_output, subject,
              "attribute " + printable(name) +
                  (found == attributes.end() ? " is missing" : std::string(" is no ") + type),
              "write the file again");
}

}  // namespace

const std::string& Hdf5Reader::text(const std::string& name, const std::string& attribute) const {
  return typed<std::string>(state_->subject(name), attributes(name), attribute, "text");
}

std::int64_t Hdf5Reader::integer(const std::string& name, const std::string& attribute) const {
  return typed<std::int64_t>(state_->subject(name), attributes(name), attribute, "integer");
}

}  // namespace karat::files
