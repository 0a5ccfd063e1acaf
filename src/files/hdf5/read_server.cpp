// The child that reads an HDF5 file nobody vouches for. Whatever is wrong either comes back as an
// answer or ends this process. See hdf5_servers.hpp.
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "attributes.hpp"
#include "handle.hpp"
#include "servers.hpp"
#include "types.hpp"
#include "worker.hpp"

namespace karat::files {
namespace {

constexpr std::size_t kExtraMemory = std::size_t{2} << 30;
constexpr std::size_t kLargestChunkCache = std::size_t{1} << 30;
constexpr std::size_t kMaxObjects = 100'000;
constexpr std::size_t kMaxAttributesOfAll = 1'000'000;
/// More than deflate can do (1032); a dataset that claims more is a trap.
constexpr std::uint64_t kMaxExpansion = 1100;

struct Dataset {
  std::string name;
  DType dtype = DType::f32;
  Extent shape;
  Extent chunk;
  std::string problem;
};

struct Objects {
  std::vector<std::string> groups;
  std::vector<std::string> datasets;
  bool too_many = false;
};

/// HDF5 calls this for each object once, in the order of names.
extern "C" herr_t collect(hid_t, const char* name, const H5O_info_t* about, void* out) {
  auto& objects = *static_cast<Objects*>(out);
  try {
    if (about->type == H5O_TYPE_GROUP) {
      objects.groups.emplace_back(std::string_view(name) == "." ? "" : name);
    } else if (about->type == H5O_TYPE_DATASET) {
      objects.datasets.emplace_back(name);
    }
  } catch (...) {
    return -1;
  }
  objects.too_many = objects.groups.size() + objects.datasets.size() > kMaxObjects;
  return objects.too_many ? 1 : 0;
}

Handle open_file(const std::filesystem::path& path) {
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
  checked(H5Pset_file_locking(access, false, true));  // read-only network folders have no locks
  return Handle(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access));
}

std::string missing_filter(hid_t creation) {
  const int filters = checked(H5Pget_nfilters(creation));
  for (int i = 0; i < filters; ++i) {
    unsigned flags = 0, config = 0;
    std::size_t values = 0;
    char name[64] = "";
    const auto filter = checked(H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &values,
                                               nullptr, sizeof name, name, &config));
    if (checked(H5Zfilter_avail(filter)) == 0) {
      return "is compressed by filter " + std::to_string(filter) + " " + name +
             ", which this HDF5 lacks";
    }
  }
  return {};
}

/// Chunks that cover `shape`.
std::uint64_t chunks_needed(const Extent& shape, const Extent& chunk) {
  std::uint64_t needed = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) needed *= (shape[i] + chunk[i] - 1) / chunk[i];
  return needed;
}

class ReadServer {
 public:
  ReadServer(const Channel& channel, const std::filesystem::path& path,
             std::chrono::seconds patience)
      : channel_(channel), path_(path), patience_(patience) {}

  void handle(const Channel::Message& request) {
    if (request.text.at("do") == "list") {
      channel_.send(list());
    } else {
      channel_.send(Json::object(), read(request.text));
    }
  }

 private:
  Json list() {
    const Deadline deadline(patience_);
    file_ = open_file(path_);
    checked(H5Fget_filesize(file_, &file_size_));
    Objects objects;
    checked(H5Ovisit2(file_, H5_INDEX_NAME, H5_ITER_INC, collect, &objects, H5O_INFO_BASIC));
    if (objects.too_many) throw Hdf5Failure{.text = "more than 100000 objects", .error = 0};
    Json attributes = Json::array(), datasets = Json::array();
    std::size_t count = 0;
    const auto add_attributes = [&](const std::string& name, hid_t object) {
      const Attributes found = read_attributes(object);
      count += found.size();
      if (count > kMaxAttributesOfAll)
        throw Hdf5Failure{
            .text = "more than " + std::to_string(kMaxAttributesOfAll) + " attributes", .error = 0};
      attributes.push_back({name, attributes_to_json(found)});
    };
    for (const std::string& name : objects.groups)
      add_attributes(name, Handle(H5Oopen(file_, object_path(name), H5P_DEFAULT)));
    for (const std::string& name : objects.datasets) {
      const Handle dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT));
      const Dataset& about = datasets_.emplace_back(describe(dataset, name));
      add_attributes(name, dataset);
      datasets.push_back({{"name", name},
                          {"dtype", info(about.dtype).name},
                          {"shape", about.shape},
                          {"chunk", about.chunk},
                          {"problem", about.problem}});
    }
    return {{"datasets", std::move(datasets)}, {"attributes", std::move(attributes)}};
  }

  Dataset describe(const Handle& dataset, const std::string& name) const {
    Dataset about{.name = name};
    const Handle space(H5Dget_space(dataset)), type(H5Dget_type(dataset)),
        creation(H5Dget_create_plist(dataset));
    about.shape.resize(static_cast<std::size_t>(checked(H5Sget_simple_extent_ndims(space))));
    checked(H5Sget_simple_extent_dims(space, about.shape.data(), nullptr));
    const auto dtype = tensor_dtype(type, text_attribute(dataset, kFormatAttribute));
    const H5D_layout_t layout = H5Pget_layout(creation);
    if (layout == H5D_CHUNKED) {
      about.chunk.resize(about.shape.size());
      checked(H5Pget_chunk(creation, static_cast<int>(about.chunk.size()), about.chunk.data()));
    }
    if (H5Sget_simple_extent_type(space) == H5S_NULL) {
      about.problem = "has no dataspace";
    } else if (!dtype) {
      about.problem = tensor_dtype(type, {}) ? "has an attribute format that does not fit its type"
                                             : "holds no plain numbers: " + foreign_name(type);
    } else if (layout == H5D_VIRTUAL || checked(H5Pget_external_count(creation)) > 0) {
      about.problem = "has its values in other files";
    } else {
      about.dtype = *dtype;
      about.problem = missing_filter(creation);
      if (about.problem.empty()) about.problem = missing_values(dataset, about, layout);
    }
    return about;
  }

  /// HDF5 reads values that were never stored as zeros, silently.
  std::string missing_values(const Handle& dataset, const Dataset& about,
                             H5D_layout_t layout) const {
    const Shape shape(about.shape.begin(), about.shape.end());
    const auto bytes = checked_bytes(about.dtype, shape);
    if (!bytes) return "has an absurd shape " + to_string(shape);
    if (*bytes == 0) return {};
    if (layout == H5D_CHUNKED) {
      const Handle space(H5Dget_space(dataset));
      hsize_t stored = 0;
      checked(H5Dget_num_chunks(dataset, space, &stored));
      if (stored != chunks_needed(about.shape, about.chunk)) {
        return "misses values: " + std::to_string(stored) + " of " +
               std::to_string(chunks_needed(about.shape, about.chunk)) + " chunks are stored";
      }
    } else if (H5Dget_storage_size(dataset) < *bytes) {
      return "misses values: they were never written";
    }
    const std::uint64_t expansion = layout == H5D_CHUNKED ? kMaxExpansion : 1;
    return *bytes / expansion > file_size_ ? "claims more values than the file can hold" : "";
  }

  /// Keeps the dataset of the last request open, and with it its cached chunks.
  void open(std::size_t index) {
    if (open_index_ == index && dataset_ >= 0) return;
    const Dataset& about = datasets_.at(index);
    std::uint64_t chunk_bytes = info(about.dtype).size;
    for (const hsize_t n : about.chunk)
      chunk_bytes = std::min<std::uint64_t>(chunk_bytes * n, kMaxChunkBytes);
    const std::size_t cache = std::clamp<std::size_t>(chunk_bytes, kChunkCache, kLargestChunkCache);
    const Handle access(H5Pcreate(H5P_DATASET_ACCESS));
    checked(H5Pset_chunk_cache(access, kChunkCacheSlots, cache, 1.0));
    dataset_ = Handle(H5Dopen2(file_, about.name.c_str(), access));
    open_index_ = index;
  }

  std::span<const std::byte> read(const Json& request) {
    const Deadline deadline(patience_);
    const auto index = request.at("index").get<std::size_t>();
    const auto offset = request.at("offset").get<Extent>();
    const auto count = request.at("count").get<Extent>();
    open(index);
    const DType dtype = datasets_.at(index).dtype;
    buffer_.resize(checked_bytes(dtype, Shape(count.begin(), count.end())).value());
    const Handle type = memory_type(dtype, Handle(H5Dget_type(dataset_)));
    if (count.empty()) {
      checked(H5Dread(dataset_, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, buffer_.data()));
      return buffer_;
    }
    const Handle file_space(H5Dget_space(dataset_));
    checked(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, count.data(),
                                nullptr));
    const Handle memory_space(
        H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr));
    checked(H5Dread(dataset_, type, memory_space, file_space, H5P_DEFAULT, buffer_.data()));
    return buffer_;
  }

  static constexpr std::uint64_t kMaxChunkBytes = std::uint64_t{1} << 32;

  const Channel& channel_;
  const std::filesystem::path& path_;
  std::chrono::seconds patience_;
  Handle file_;
  hsize_t file_size_ = 0;
  std::vector<Dataset> datasets_;
  std::size_t open_index_ = 0;
  Handle dataset_;
  std::vector<std::byte> buffer_;
};

}  // namespace

void serve_reading(const Channel& channel, const std::filesystem::path& path,
                   std::chrono::seconds patience) {
  limit_extra_memory(kExtraMemory);
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  ReadServer server(channel, path, patience);
  answer_requests(channel, [&](const Channel::Message& request) { server.handle(request); });
  ::_exit(0);  // without HDF5's clean-up: a hostile file could still trap it
}

}  // namespace karat::files
