// The child that writes an HDF5 file. No call here records a time or leaves bytes undefined, so the
// same requests give the same file. See hdf5_servers.hpp.
#include <unistd.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attributes.hpp"
#include "handle.hpp"
#include "servers.hpp"
#include "types.hpp"
#include "karat/files/seal.hpp"

namespace karat::files {
namespace {

Extent extent(const Json& json) { return json.get<Extent>(); }

Handle creation_list(hid_t list_class) {
  Handle list(H5Pcreate(list_class));
  checked(H5Pset_obj_track_times(list, false));
  return list;
}

Handle create_file(const std::filesystem::path& path) {
  const Handle creation(H5Pcreate(H5P_FILE_CREATE));
  checked(H5Pset_userblock(creation, kSealSize));
  checked(H5Pset_obj_track_times(creation, false));
  const Handle access(H5Pcreate(H5P_FILE_ACCESS));
  // One fixed format version, with checksums in the metadata; HDF5 1.8 and later read it.
  checked(H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18));
  checked(H5Pset_file_locking(access, false, true));
  checked(H5Pset_cache(access, 0, kChunkCacheSlots, kChunkCache, 1.0));
  return Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access));
}

class WriteServer {
 public:
  WriteServer(const Channel& channel, const std::filesystem::path& path)
      : channel_(channel), path_(path) {}

  void handle(const Channel::Message& request) {
    const Json& text = request.text;
    const auto& what = text.at("do").get_ref<const std::string&>();
    // Values are taken off the channel before anything can fail.
    std::vector<std::byte> values(static_cast<std::size_t>(request.data_size));
    channel_.receive_data(values);
    if (what == "create_file") {
      file_ = create_file(path_);
    } else if (what == "group") {
      make_groups(text.at("name").get<std::string>() + "/");
    } else if (what == "create") {
      create(text);
    } else if (what == "write") {
      write(text, values);
    } else if (what == "attributes") {
      const auto name = text.at("name").get<std::string>();
      const Handle object(H5Oopen(file_, object_path(name), H5P_DEFAULT));
      write_attributes(object, attributes_from_json(text.at("values")));
    } else {
      datasets_.clear();
      checked(H5Fclose(file_.release()));
    }
    channel_.send(Json::object());
  }

 private:
  /// Creates the missing groups that lie before each '/' of `path`.
  void make_groups(const std::string& path) {
    for (auto at = path.find('/'); at != path.npos; at = path.find('/', at + 1)) {
      const std::string name = path.substr(0, at);
      if (name.empty() || checked(H5Lexists(file_, name.c_str(), H5P_DEFAULT)) > 0) continue;
      const Handle group(H5Gcreate2(file_, name.c_str(), H5P_DEFAULT,
                                    creation_list(H5P_GROUP_CREATE), H5P_DEFAULT));
    }
  }

  void create(const Json& text) {
    const auto name = text.at("name").get<std::string>();
    const auto format = text.at("dtype").get<std::string>();
    const DType dtype = dtype_named(format).value();
    const Extent shape = extent(text.at("shape")), chunk = extent(text.at("chunk"));
    make_groups(name);
    const Handle space(
        shape.empty() ? H5Screate(H5S_SCALAR)
                      : H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr));
    const Handle creation = creation_list(H5P_DATASET_CREATE);
    if (!chunk.empty()) {
      checked(H5Pset_chunk(creation, static_cast<int>(chunk.size()), chunk.data()));
      const auto deflate = text.at("deflate").get<unsigned>();
      if (deflate > 0) {
        checked(H5Pset_shuffle(creation));
        checked(H5Pset_deflate(creation, deflate));
      }
    }
    Handle dataset(H5Dcreate2(file_, name.c_str(), stored_type(dtype), space, H5P_DEFAULT, creation,
                              H5P_DEFAULT));
    if (needs_format_attribute(dtype)) write_attributes(dataset, {{kFormatAttribute, format}});
    datasets_[name] = std::move(dataset);
  }

  void write(const Json& text, const std::vector<std::byte>& values) {
    const Handle& dataset = datasets_.at(text.at("name").get<std::string>());
    const Extent offset = extent(text.at("offset")), count = extent(text.at("count"));
    const Handle type(H5Dget_type(dataset));
    if (count.empty()) {
      checked(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()));
      return;
    }
    const Handle file_space(H5Dget_space(dataset));
    checked(H5Sselect_hyperslab(file_space, H5S_SELECT_SET, offset.data(), nullptr, count.data(),
                                nullptr));
    const Handle memory_space(
        H5Screate_simple(static_cast<int>(count.size()), count.data(), nullptr));
    checked(H5Dwrite(dataset, type, memory_space, file_space, H5P_DEFAULT, values.data()));
  }

  const Channel& channel_;
  const std::filesystem::path& path_;
  Handle file_;
  std::map<std::string, Handle> datasets_;
};

}  // namespace

void serve_writing(const Channel& channel, const std::filesystem::path& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  WriteServer server(channel, path);
  answer_requests(channel, [&](const Channel::Message& request) { server.handle(request); });
  ::_exit(0);  // without HDF5's clean-up, which crashes where a full disk stopped it
}

}  // namespace karat::files
