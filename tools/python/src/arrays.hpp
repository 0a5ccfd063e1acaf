// NumPy arrays as karat.h takes them, and back. No conversions: an array of another type, shape or
// order than a function wants is refused.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <tuple>
#include <vector>

#include "call.hpp"

namespace karat_python {

/// @throws ValueError "what: why"
void require(bool condition, const char* what, const char* why);
/// @throws ValueError for extents that no tensor has
std::size_t product(std::initializer_list<std::int64_t> extents, const char* what);

/// Memory of an array of exactly `count` elements of `size` bytes, C order.
const void* bytes(const py::array& array, std::size_t count, std::size_t size, const char* what);
template <typename T>
const T* values(const std::optional<py::array>& array, std::size_t count, const char* what) {
  return array ? static_cast<const T*>(bytes(*array, count, sizeof(T), what)) : nullptr;
}
/// The same to be written to; what is read-only is refused.
void* room(py::array& array, std::size_t count, std::size_t size, const char* what);
template <typename T>
T* room(std::optional<py::array>& array, std::size_t count, const char* what) {
  return array ? static_cast<T*>(room(*array, count, sizeof(T), what)) : nullptr;
}

/// Bytes of a code or value of a format.
std::size_t width_of(const std::string& format);

/// ([(name, type, array)], metadata): arrays look into the library's memory and keep it alive.
py::tuple handed_over(karat_tensors* tensors);

/// The same of what a function of karat.h hands out.
template <typename... Parameters, typename... Arguments>
py::tuple tensors_of(karat_status (*function)(Parameters...), Arguments... arguments) {
  return handed_over(result_of<karat_tensors>(function, arguments...));
}

/// name, type, array
using Named = std::tuple<std::string, std::string, py::array>;
/// Arrays of the caller as the C interface takes them.
class Arrays {
 public:
  explicit Arrays(const std::vector<Named>& named);
  const char* const* names() const { return names_.data(); }
  const karat_array* arrays() const { return arrays_.data(); }
  std::size_t count() const { return arrays_.size(); }

 private:
  std::vector<const char*> names_;
  std::vector<karat_array> arrays_;
};

}  // namespace karat_python
