// SIGINT and SIGTERM as an exception, so that destructors remove what is half written.
#pragma once

namespace karat::cli {

/// Thrown by throw_if_interrupted(); not an Error: nothing is wrong.
struct Interrupted {
  int signal;
};

/// From now on the first SIGINT or SIGTERM is remembered; a second one ends the process at once.
void catch_interrupts();

/// The signal received, or 0.
int interrupted_by();

/// Long work calls this now and then (the progress bar does).
void throw_if_interrupted();

}  // namespace karat::cli
