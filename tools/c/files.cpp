// Tensor files in and out.

#include "call.hpp"
#include "karat/files/load.hpp"
#include "karat/files/npy.hpp"
#include "karat/files/safetensors.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

std::vector<std::string> names_of(const char* json) {
  if (json == nullptr) return {};
  const files::Json list = files::parse_json(std::string_view(json), "names");
  if (!list.is_array() || list.empty())
    throw Error(ErrorKind::usage, "names", "is no list of names", "give [\"o\", ...], or NULL");
  std::vector<std::string> names;
  for (const files::Json& each : list) {
    if (!each.is_string())
      throw Error(ErrorKind::usage, "names", each.dump() + " is no name", "give text");
    names.push_back(each.get<std::string>());
  }
  return names;
}

bool too_deep(const files::Shape& shape) { return shape.size() > KARAT_MAX_RANK; }

files::Metadata metadata_of(const char* json) {
  files::Metadata metadata;
  const files::Json object = object_of(json, "metadata");
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string())
      throw Error(ErrorKind::usage, "metadata." + key, value.dump() + " is no text",
                  "write it as text");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

void save(const std::filesystem::path& path, const char* const* names, const karat_array* arrays,
          std::size_t count, const char* metadata) {
  files::Tensors tensors;
  for (std::size_t i = 0; i < count; ++i) {
    const files::TensorInfo info = info_of(arrays[i], required(names[i], "names"));
    if (!tensors
             .emplace(info.name,
                      files::make_tensor(info.dtype, info.shape, bytes_of(arrays[i], info)))
             .second)
      throw Error(ErrorKind::usage, info.name, "is named twice", "give every tensor its own name");
  }
  const std::string ending = path.extension().string();
  if (ending == ".safetensors") {
    files::write_safetensors(path, tensors, metadata_of(metadata));
  } else if (ending == ".npy") {
    if (count != 1)
      throw Error(ErrorKind::usage, path.string(),
                  "would have to hold " + std::to_string(count) + " arrays",
                  "a .npy holds one; write .safetensors");
    files::write_npy(path, tensors.begin()->second);
  } else {
    throw Error(ErrorKind::usage, path.string(), "names no kind of file by its ending",
                "end it in .safetensors or .npy");
  }
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_load(const char* path, const char* names, karat_tensors** result,
                        karat_error* error) {
  return c::guarded(error, [&] {
    c::required(result, "result");
    const std::vector<std::string> wanted = c::names_of(names);
    files::TensorFile file = files::load_tensors(c::required(path, "path"), wanted);
    if (wanted.empty())  // all that can be handed out; karat_list() says why the others cannot
      std::erase_if(file.tensors,
                    [](const auto& named) { return c::too_deep(named.second.shape); });
    *result = c::handed_out(std::move(file));
  });
}

karat_status karat_list(const char* path, char** json, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(json, "json");
    files::Json list = files::Json::array();
    for (files::TensorInfo& tensor : files::list_tensors(c::required(path, "path"))) {
      if (tensor.problem.empty() && c::too_deep(tensor.shape))
        tensor.problem = "has " + std::to_string(tensor.shape.size()) + " dimensions, more than " +
                         std::to_string(KARAT_MAX_RANK);
      const bool readable = tensor.problem.empty();
      list.push_back({{"name", tensor.name},
                      {"type", readable ? files::info(tensor.dtype).name : "?"},
                      {"shape", tensor.shape}});
      if (!readable) list.back()["problem"] = tensor.problem;
    }
    *json = c::handed_out(list.dump());
  });
}

karat_status karat_save(const char* path, const char* const* names, const karat_array* arrays,
                        size_t count, const char* metadata, karat_error* error) {
  return c::guarded(error, [&] {
    if (count > 0) {
      c::required(names, "names");
      c::required(arrays, "arrays");
    }
    c::save(c::required(path, "path"), names, arrays, count, metadata);
  });
}
