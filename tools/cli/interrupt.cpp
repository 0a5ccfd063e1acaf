// Two flags: the signal that came, and whether it may end the process where it stands.
#include "interrupt.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <string>

namespace karat::cli {
namespace {

std::atomic<int> received = 0;
std::atomic<int> nothing_half_written = 0;
static_assert(std::atomic<int>::is_always_lock_free);
std::string_view chosen_line = kInterruptedLine;
std::string last_line;  // made before the handler can run

extern "C" void remember(int signal) {
  received = signal;
  if (nothing_half_written == 0) return;
  // Only calls that are safe inside a handler.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, last_line.data(), last_line.size());
  ::_exit(128 + signal);
}

}  // namespace

void catch_interrupts() {
  last_line = std::string(isatty(STDERR_FILENO) != 0 ? "\r\033[K" : "") +
              "karat: " + std::string(kInterruptedLine) + "\n";
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

void say_when_interrupted(std::string_view line) { chosen_line = line; }

std::string_view interrupted_line() { return chosen_line; }

int interrupted_by() { return received; }

void throw_if_interrupted() {
  if (const int signal = received) throw Interrupted{signal};
}

NothingHalfWritten::NothingHalfWritten() {
  ++nothing_half_written;
  if (const int signal = received) {
    --nothing_half_written;
    throw Interrupted{signal};
  }
}

void NothingHalfWritten::over() {
  if (lasts_) --nothing_half_written;
  lasts_ = false;
}

}  // namespace karat::cli
