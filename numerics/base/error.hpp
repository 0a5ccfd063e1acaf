// The one exception of the library: what is wrong, with which subject, and what to do about it.
// The library never prints or exits; "the numbers differ" is a report, not an error.
#pragma once

#include <stdexcept>
#include <string>

namespace karat {

/// Which of the documented exit codes an error maps to.
enum class ErrorKind {
  usage,         ///< command line, recipe, grid, shapes that cannot be compared: exit 2
  input_output,  ///< content of a file, or reading and writing it: exit 3
  internal,      ///< a defect of karat itself: exit 4
};

/// One line "subject: problem; action".
class Error : public std::runtime_error {
 public:
  /// @param subject what the message is about (a file, a field's path, an option)
  /// @param problem what is wrong with it
  /// @param action  the next useful thing to do; may be empty
  Error(ErrorKind kind, const std::string& subject, const std::string& problem,
        const std::string& action = {})
      : std::runtime_error(subject + ": " + problem + (action.empty() ? "" : "; " + action)),
        kind_(kind) {}

  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

}  // namespace karat
