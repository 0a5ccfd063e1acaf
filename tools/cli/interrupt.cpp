// One flag, set by the handler.
#include "interrupt.hpp"

#include <atomic>
#include <csignal>

namespace karat::cli {
namespace {

std::atomic<int> received = 0;
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void remember(int signal) { received = signal; }

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int interrupted_by() { return received; }

void throw_if_interrupted() {
  if (const int signal = received) throw Interrupted{signal};
}

}  // namespace karat::cli
