// In the child: owned HDF5 identifiers, and HDF5's failures as exceptions.
// Nothing here is ever called in the user's process.
#pragma once

#include <hdf5.h>

#include <string>
#include <utility>
#include <vector>

#include "failure.hpp"

namespace karat::files {

/// A shape as HDF5 takes it.
using Extent = std::vector<hsize_t>;

/// The cache of chunks of one dataset: bytes, and slots (a prime, as HDF5 advises).
constexpr std::size_t kChunkCache = std::size_t{64} << 20;
constexpr std::size_t kChunkCacheSlots = 12'421;

/// Throws Hdf5Failure made from HDF5's error stack.
[[noreturn]] void throw_hdf5_failure();

/// The result of a call, which HDF5 makes negative on failure.
template <class T>
T checked(T result) {
  if (result < 0) throw_hdf5_failure();
  return result;
}

/// Owns one identifier of any kind (file, dataset, type, property list, ...).
class Handle {
 public:
  Handle() = default;
  explicit Handle(hid_t id) : id_(checked(id)) {}
  ~Handle() {
    if (id_ >= 0) H5Idec_ref(id_);
  }
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(id_, other.id_);
    return *this;
  }

  operator hid_t() const { return id_; }
  hid_t release() { return std::exchange(id_, -1); }

 private:
  hid_t id_ = -1;
};

/// "." for the root, else the name: HDF5 has no empty names.
inline const char* object_path(const std::string& name) {
  return name.empty() ? "." : name.c_str();
}

}  // namespace karat::files
