// SIGINT and SIGTERM as an exception, so that destructors remove what is half written.
#pragma once

#include <string_view>

namespace karat::cli {

/// Thrown by throw_if_interrupted(); not an Error: nothing is wrong.
struct Interrupted {
  int signal;
};

/// From now on the first SIGINT or SIGTERM is remembered; a second one ends the process at once.
void catch_interrupts();

/// What a command that was interrupted ends with, where kInterruptedLine does not fit it. @param
/// line without "karat: "; it lasts
void say_when_interrupted(std::string_view line);
/// The line as it stands now.
std::string_view interrupted_line();

/// The signal received, or 0.
int interrupted_by();

/// Long work calls this now and then (the progress bar does).
void throw_if_interrupted();

/// Work that reads and computes and has nothing half written: while one of these lives, a signal
/// ends the process there and then.
class NothingHalfWritten {
 public:
  NothingHalfWritten();
  ~NothingHalfWritten() { over(); }
  /// Before the first byte is written; the destructor calls it else.
  void over();
  NothingHalfWritten(const NothingHalfWritten&) = delete;
  NothingHalfWritten& operator=(const NothingHalfWritten&) = delete;

 private:
  bool lasts_ = true;
};

/// The line that most interrupted commands end with, without "karat: ".
inline constexpr std::string_view kInterruptedLine =
    "interrupted: nothing was written under the final name";

}  // namespace karat::cli
