// See system_error.hpp.
#include "system_error.hpp"

#include <cerrno>
#include <system_error>

namespace karat::files {
namespace {

const char* next_action(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space or choose another folder";
    case EFBIG:
      return "raise the limit on file size (ulimit -f)";
    case EACCES:
    case EPERM:
    case EROFS:
      return "choose a folder you can write to";
    case ENOENT:
    case ENOTDIR:
      return "create the folder first";
    case ENAMETOOLONG:
    case ELOOP:
    case EINVAL:
      return "choose another name";
    default:
      return "";
  }
}

}  // namespace

SystemError::SystemError(const std::string& subject, const std::string& what, int code)
    : Error(ErrorKind::input_output, subject, what + ": " + std::generic_category().message(code),
            next_action(code)),
      subject_(subject),
      code_(code) {}

SystemError system_error(const std::string& subject, const std::string& what, int error) {
  return {subject, what, error};
}

}  // namespace karat::files
