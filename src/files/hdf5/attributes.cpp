// Attributes through the HDF5 library. See hdf5_attributes.hpp.
#include "attributes.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

namespace karat::files {
namespace {

constexpr hsize_t kMaxAttributes = 10'000;
constexpr std::size_t kMaxBytes = std::size_t{64} << 20;

/// Variable length: h5py shows such text as str, fixed-length text as bytes.
Handle text_type(H5T_cset_t characters) {
  Handle type(H5Tcopy(H5T_C_S1));
  checked(H5Tset_size(type, H5T_VARIABLE));
  checked(H5Tset_cset(type, characters));
  return type;
}

Handle list_space(hsize_t size) { return Handle(H5Screate_simple(1, &size, nullptr)); }

struct WriteAttribute {
  hid_t object;
  const char* name;

  void operator()(const std::string& value) const {
    const char* text = value.c_str();
    write(text_type(H5T_CSET_UTF8), Handle(H5Screate(H5S_SCALAR)), &text);
  }
  void operator()(const std::int64_t& value) const {
    write(Handle(H5Tcopy(H5T_STD_I64LE)), Handle(H5Screate(H5S_SCALAR)), &value);
  }
  void operator()(const double& value) const {
    write(Handle(H5Tcopy(H5T_IEEE_F64LE)), Handle(H5Screate(H5S_SCALAR)), &value);
  }
  void operator()(const std::vector<std::int64_t>& value) const {
    write_list(H5T_STD_I64LE, value);
  }
  void operator()(const std::vector<double>& value) const {
    write_list(H5T_IEEE_F64LE, value);
  }

  /// HDF5 wants an address even where there is nothing to write.
  template <class T>
  void write_list(hid_t type, const std::vector<T>& values) const {
    const T nothing{};
    write(Handle(H5Tcopy(type)), list_space(values.size()),
          values.empty() ? &nothing : values.data());
  }

  void write(const Handle& type, const Handle& space, const void* value) const {
    if (checked(H5Aexists(object, name)) > 0) checked(H5Adelete(object, name));
    const Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
    checked(H5Awrite(attribute, type, value));
  }
};

std::optional<Attribute> read_text(hid_t attribute, hid_t type) {
  if (checked(H5Tis_variable_str(type)) > 0) {
    char* text = nullptr;
    checked(H5Aread(attribute, text_type(H5Tget_cset(type)), &text));
    std::string value(text == nullptr ? "" : text);
    H5free_memory(text);
    return value;
  }
  const std::size_t size = H5Tget_size(type);
  if (size > kMaxBytes) return std::nullopt;
  std::string value(size, '\0');
  checked(H5Aread(attribute, type, value.data()));
  value.resize(std::min(value.find('\0'), value.size()));
  return value;
}

template <class T>
Attribute read_numbers(hid_t attribute, hid_t memory, std::size_t count, H5S_class_t extent) {
  std::vector<T> values(count);
  checked(H5Aread(attribute, memory, values.data()));
  if (extent == H5S_SCALAR) return values[0];
  return values;
}

std::optional<Attribute> read_attribute(hid_t attribute) {
  const Handle type(H5Aget_type(attribute));
  const Handle space(H5Aget_space(attribute));
  const H5S_class_t extent = H5Sget_simple_extent_type(space);
  const auto count = static_cast<std::uint64_t>(checked(H5Sget_simple_extent_npoints(space)));
  if ((extent != H5S_SCALAR && extent != H5S_SIMPLE) || count > kMaxBytes / 8) return std::nullopt;
  switch (H5Tget_class(type)) {
    case H5T_STRING:
      return extent == H5S_SCALAR ? read_text(attribute, type) : std::nullopt;
    case H5T_INTEGER:
      return read_numbers<std::int64_t>(attribute, H5T_NATIVE_INT64, count, extent);
    case H5T_FLOAT:
      if (H5Tget_size(type) != 4 && H5Tget_size(type) != 8) return std::nullopt;
      return read_numbers<double>(attribute, H5T_NATIVE_DOUBLE, count, extent);
    default:
      return std::nullopt;
  }
}

struct Walk {
  Attributes attributes;
  std::exception_ptr failure;
};

extern "C" herr_t take_attribute(hid_t object, const char* name, const H5A_info_t*, void* out) {
  auto& walk = *static_cast<Walk*>(out);
  try {
    const Handle attribute(H5Aopen(object, name, H5P_DEFAULT));
    if (auto value = read_attribute(attribute)) walk.attributes.emplace(name, std::move(*value));
    return 0;
  } catch (...) {
    walk.failure = std::current_exception();
    return -1;
  }
}

}  // namespace

void write_attributes(hid_t object, const Attributes& attributes) {
  for (const auto& [name, value] : attributes) {
    std::visit(WriteAttribute{.object = object, .name = name.c_str()}, value);
  }
}

Attributes read_attributes(hid_t object) {
  H5O_info_t about{};
  checked(H5Oget_info2(object, &about, H5O_INFO_NUM_ATTRS));
  if (about.num_attrs > kMaxAttributes)
    throw Hdf5Failure{.text = "more than " + std::to_string(kMaxAttributes) + " attributes",
                      .error = 0};
  // One walk: HDF5 makes a list of them all each time one is asked for by its number.
  Walk walk;
  const herr_t result =
      H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_NATIVE, nullptr, take_attribute, &walk);
  if (walk.failure) std::rethrow_exception(walk.failure);
  checked(result);
  return std::move(walk.attributes);
}

std::string text_attribute(hid_t object, const char* name) {
  if (checked(H5Aexists(object, name)) == 0) return {};
  const Handle attribute(H5Aopen(object, name, H5P_DEFAULT));
  const auto value = read_attribute(attribute);
  const auto* text = value ? std::get_if<std::string>(&*value) : nullptr;
  return text == nullptr ? "" : *text;
}

}  // namespace karat::files
