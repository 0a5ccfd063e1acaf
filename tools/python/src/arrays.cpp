// See arrays.hpp.
#include "arrays.hpp"

namespace karat_python {
namespace {

py::dtype dtype_of(const std::string& type) {
  if (type == "bool") return py::dtype("bool");
  if (type == "f32" || type == "f64") return py::dtype(type == "f32" ? "float32" : "float64");
  if (type == "bf16" || type == "f16") return py::dtype("uint16");
  if (type == "e4m3" || type == "e5m2" || type == "e8m0") return py::dtype("uint8");
  return py::dtype((type[0] == 'u' ? "uint" : "int") + type.substr(1));
}

}  // namespace

void require(bool condition, const char* what, const char* why) {
  if (!condition) throw py::value_error(std::string(what) + ": " + why);
}

std::size_t product(std::initializer_list<std::int64_t> extents, const char* what) {
  std::size_t count = 1;
  for (const std::int64_t extent : extents) {
    require(extent >= 0 && extent < (std::int64_t{1} << 31), what, "has an absurd extent");
    require(!__builtin_mul_overflow(count, static_cast<std::size_t>(extent), &count), what,
            "is too large");
  }
  return count;
}

/// Memory of an array of exactly `count` elements of `size` bytes, C order.
const void* bytes(const py::array& array, std::size_t count, std::size_t size, const char* what) {
  require((array.flags() & py::array::c_style) != 0, what, "is not C-contiguous");
  require(static_cast<std::size_t>(array.itemsize()) == size, what, "has elements of another size");
  require(static_cast<std::size_t>(array.size()) == count, what, "has another number of elements");
  return array.data();
}
void* room(py::array& array, std::size_t count, std::size_t size, const char* what) {
  bytes(array, count, size, what);
  return array.mutable_data();  // refuses what is read-only
}

std::size_t width_of(const std::string& format) {
  if (format == "f16" || format == "bf16") return 2;
  return format == "f32" || format == "tf32" ? 4 : 1;
}

py::tuple handed_over(karat_tensors* tensors) {
  const py::capsule owner(tensors,
                          [](void* p) { karat_tensors_free(static_cast<karat_tensors*>(p)); });
  py::list list;
  for (std::size_t i = 0; i < karat_tensors_count(tensors); ++i) {
    const karat_array array = karat_tensors_array(tensors, i);
    list.append(
        py::make_tuple(karat_tensors_name(tensors, i), array.type,
                       py::array(dtype_of(array.type),
                                 std::vector<py::ssize_t>(array.shape, array.shape + array.rank),
                                 array.data, owner)));
  }
  return py::make_tuple(list, karat_tensors_metadata(tensors));
}

Arrays::Arrays(const std::vector<Named>& named) {
  for (const auto& [name, type, array] : named) {
    require((array.flags() & py::array::c_style) != 0, name.c_str(), "is not C-contiguous");
    require(array.ndim() <= KARAT_MAX_RANK, name.c_str(), "has too many dimensions");
    require(array.itemsize() == dtype_of(type).itemsize(), name.c_str(),
            "has elements of another size than its type");
    karat_array made{.data = array.data(),
                     .type = type.c_str(),
                     .rank = static_cast<int32_t>(array.ndim()),
                     .shape = {}};
    for (int d = 0; d < made.rank; ++d) made.shape[d] = array.shape(d);
    names_.push_back(name.c_str());
    arrays_.push_back(made);
  }
}

}  // namespace karat_python
