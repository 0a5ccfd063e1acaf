// See worker.hpp.
#include "worker.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "system_error.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define KARAT_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KARAT_ADDRESS_SANITIZER 1
#endif
#endif

namespace karat::files {
namespace {

/// Descriptor the child keeps its end of the channel on; the rest above is closed.
constexpr int kChildSocket = 3;

/// Default signals, silent standard streams, no other file open, no core file.
int settle_in(int socket) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM, SIGTERM, SIGINT}) {
    std::signal(signal, SIG_DFL);
  }
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  // Out of the way of 0 to 3 first, so that none of the copies below lands on it.
  socket = ::fcntl(socket, F_DUPFD, kChildSocket + 1);
  const int nothing = ::open("/dev/null", O_RDWR);
  for (int stream = 0; stream < kChildSocket; ++stream) ::dup2(nothing, stream);
  ::dup2(socket, kChildSocket);
  ::close_range(kChildSocket + 1, ~0u, 0);

  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  return kChildSocket;
}

[[noreturn]] void run_child(int socket, const std::function<void(const Channel&)>& body) {
  try {
    const Channel channel(settle_in(socket));
    body(channel);
    ::_exit(0);
  } catch (...) {
    ::_exit(1);
  }
}

}  // namespace

Worker::Worker(const std::function<void(const Channel&)>& body) {
  std::array<int, 2> sockets{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()) != 0) {
    throw system_error("HDF5", "its process cannot be started", errno);
  }
  channel_ = std::make_unique<Channel>(sockets[0]);
  child_ = ::fork();
  const int error = errno;
  if (child_ == 0) run_child(sockets[1], body);
  ::close(sockets[1]);
  if (child_ < 0) throw system_error("HDF5", "its process cannot be started", error);
}

Worker::~Worker() {
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  reap();
}

int Worker::reap() {
  int status = 0;
  while (::waitpid(child_, &status, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
  return status;
}

std::string Worker::epitaph() {
  if (child_ >= 0) {
    // The child has ended, or ends now that nobody listens, or its own deadline stops it.
    ::shutdown(channel_->socket(), SHUT_RDWR);
    const int status = reap();
    if (!WIFSIGNALED(status)) {
      epitaph_ = "makes the HDF5 library give up";
    } else if (WTERMSIG(status) == SIGALRM) {
      epitaph_ = "takes the HDF5 library too long";
    } else {
      epitaph_ =
          std::string("makes the HDF5 library crash (") + ::strsignal(WTERMSIG(status)) + ")";
    }
  }
  return epitaph_;
}

Deadline::Deadline(std::chrono::seconds patience) {
  ::alarm(static_cast<unsigned>(patience.count()));
}

Deadline::~Deadline() { ::alarm(0); }

void limit_extra_memory(std::size_t bytes) {
#ifndef KARAT_ADDRESS_SANITIZER
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long pages = 0;
  const bool known = file != nullptr && std::fscanf(file, "%lu", &pages) == 1;
  if (file != nullptr) std::fclose(file);
  if (!known) return;
  const rlim_t limit = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + bytes;
  const rlimit memory{.rlim_cur = limit, .rlim_max = limit};
  ::setrlimit(RLIMIT_AS, &memory);
#else
  (void)bytes;
#endif
}

}  // namespace karat::files
