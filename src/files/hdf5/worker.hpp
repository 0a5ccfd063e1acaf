// A forked child for work that may crash, hang or eat memory. Only the child suffers.
// It inherits no open file, prints nothing, leaves no core file and dies with its parent.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "channel.hpp"

namespace karat::files {

class Worker {
 public:
  /// Forks. The child runs `body` on its end of the channel and ends with it; an exception ends it
  /// too. Safe beside other threads: the child touches nothing of theirs.
  /// Throws Error(input_output) if the system refuses another process.
  explicit Worker(const std::function<void(const Channel&)>& body);
  /// Stops the child if it still runs.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  const Channel& channel() const { return *channel_; }

  /// After Broken: how the child ended, to follow the name of the file: "takes HDF5 too long",
  /// "makes the HDF5 library crash (Segmentation fault)".
  /// Every later use of the channel is Broken too.
  std::string epitaph();

 private:
  int reap();

  pid_t child_ = -1;
  std::unique_ptr<Channel> channel_;
  std::string epitaph_;
};

/// In the child: it is stopped unless the guard goes out of scope within `patience`.
class Deadline {
 public:
  explicit Deadline(std::chrono::seconds patience);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
};

/// In the child: at most this much memory beyond what the process has now. Ignored in builds with
/// an address sanitizer, which reserves terabytes.
void limit_extra_memory(std::size_t bytes);

}  // namespace karat::files
