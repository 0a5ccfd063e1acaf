// What went wrong in libhdf5, thrown in the child, sent as an answer, thrown again in the parent.
// The parent makes it an Error, as only it knows what the user asked for.
#pragma once

#include <string>

namespace karat::files {

struct Hdf5Failure {
  std::string text;  ///< HDF5's innermost reason
  int error = 0;     ///< errno, 0 if HDF5 named none
};

}  // namespace karat::files
