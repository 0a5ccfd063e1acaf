// An Error that the system gave the reason for, so that callers can tell whose fault it is.
#pragma once

#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::files {

/// Kind input_output: "subject: what: No space left on device; free some space ...".
class SystemError : public Error {
 public:
  /// @param subject the file or folder @param what was not possible @param code of errno
  SystemError(const std::string& subject, const std::string& what, int code);

  const std::string& subject() const { return subject_; }
  int code() const { return code_; }

 private:
  std::string subject_;
  int code_;
};

}  // namespace karat::files
