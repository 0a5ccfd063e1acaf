// The system's reason for a failure as one Error line with the next useful action.
// Shared by everything that writes.
#pragma once

#include <string>

#include "karat/files/system_error.hpp"

namespace karat::files {

/// "subject: what: No space left on device; free some space or choose another folder".
SystemError system_error(const std::string& subject, const std::string& what, int error);

}  // namespace karat::files
