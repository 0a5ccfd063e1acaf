// What a person sees while waiting: narration, a progress bar, colour. All of it on stderr, the
// bar on a terminal alone; NO_COLOR and --quiet are obeyed.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "karat/report/text.hpp"

namespace karat::cli {

using report::short_number;
using report::short_time;

enum class Narration { spoken, quiet };

/// One line on stderr, unless quiet.
void say(Narration narration, std::string_view line);

using report::Tone;
/// The text in colour where stdout is a terminal and NO_COLOR is not set.
std::string painted(std::string_view text, Tone tone);

/// `name [=====>    ] 43 %  1.2 GMAC/s  12 s left`, redrawn at most ten times a second; removed
/// when it ends. Thread-safe. Every update also checks for an interrupt.
class Progress {
 public:
  /// @param work amount behind the whole bar in `unit`s; 0 shows items per second instead
  Progress(std::string name, Narration narration, double work = 0, std::string unit = "");
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void update(std::size_t done, std::size_t total);
  /// For the library's `progress` options; must not outlive this object.
  std::function<void(std::size_t, std::size_t)> callback() {
    return [this](std::size_t done, std::size_t total) { update(done, total); };
  }

 private:
  using Clock = std::chrono::steady_clock;
  std::string name_, unit_;
  double work_;
  bool shown_;
  Clock::time_point begin_ = Clock::now();
  std::mutex mutex_;
  Clock::time_point drawn_{};
};

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// The text with control characters and bytes that are no UTF-8 as "?": messages quote files.
std::string one_line(std::string_view text);

/// Peak resident memory of this process in bytes.
double peak_memory();

}  // namespace karat::cli
