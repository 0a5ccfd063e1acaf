// The innermost entry of HDF5's error stack as a short text.
// See hdf5_handle.hpp.
#include "handle.hpp"

#include <charconv>
#include <string_view>

namespace karat::files {
namespace {

extern "C" herr_t keep_innermost(unsigned n, const H5E_error2_t* entry, void* out) {
  if (n == 0 && entry->desc != nullptr) *static_cast<std::string*>(out) = entry->desc;
  return 0;
}

}  // namespace

void throw_hdf5_failure() {
  Hdf5Failure failure;
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &failure.text);
  // "file write failed: time = ..., errno = 28, error message = '...', buf = ...".
  constexpr std::string_view kLabel = "errno = ";
  const auto at = failure.text.find(kLabel);
  if (at != failure.text.npos) {
    const char* digits = failure.text.data() + at + kLabel.size();
    std::from_chars(digits, failure.text.data() + failure.text.size(), failure.error);
  }
  if (failure.text.empty()) failure.text = "unknown failure";
  throw failure;
}

}  // namespace karat::files
