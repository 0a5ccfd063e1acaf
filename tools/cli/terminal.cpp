// The progress bar and its words.
#include "terminal.hpp"

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "interrupt.hpp"

namespace karat::cli {
void say(Narration narration, std::string_view line) {
  if (narration == Narration::spoken) std::cerr << line << "\n";
}

std::string painted(std::string_view text, Tone tone) {
  static const bool colour = isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  if (!colour || tone == Tone::plain) return std::string(text);
  const char* code = tone == Tone::good     ? "32"
                     : tone == Tone::unsure ? "33"
                     : tone == Tone::bad    ? "31"
                                            : "2";
  return "\033[" + std::string(code) + "m" + std::string(text) + "\033[0m";
}

Progress::Progress(std::string name, Narration narration, double work, std::string unit)
    : name_(std::move(name)),
      unit_(std::move(unit)),
      work_(work),
      shown_(narration == Narration::spoken && isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (shown_ && drawn_ != Clock::time_point{}) std::fputs("\r\033[K", stderr);
}

void Progress::update(std::size_t done, std::size_t total) {
  throw_if_interrupted();
  if (!shown_ || total == 0) return;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  const auto now = Clock::now();
  if (!lock || (done < total && now - drawn_ < std::chrono::milliseconds(100))) return;
  drawn_ = now;
  constexpr std::size_t kWidth = 30;
  const double share = static_cast<double>(done) / static_cast<double>(total);
  const auto full = static_cast<std::size_t>(share * kWidth);
  const double seconds = std::chrono::duration<double>(now - begin_).count();
  const double rate =
      (work_ > 0 ? work_ * share : static_cast<double>(done)) / std::max(seconds, 1e-9);
  const double left = share > 0 ? seconds * (1 - share) / share : 0;
  std::fprintf(stderr, "\r%s [%s%s] %3.0f %%  %s%s/s  %s left\033[K", name_.c_str(),
               std::string(full, '=').c_str(), std::string(kWidth - full, ' ').c_str(), share * 100,
               short_number(rate).c_str(), unit_.c_str(), short_time(left).c_str());
}

std::string one_line(std::string_view text) {
  std::string line;
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const int ones = std::countl_one(lead);
    std::size_t size = lead >= 0xC2 && ones <= 4 ? static_cast<std::size_t>(ones) : 1;
    bool valid = lead < 0x80 ? lead >= 0x20 && lead != 0x7F : size > 1 && i + size <= text.size();
    for (std::size_t n = 1; valid && n < size; ++n)
      valid = (static_cast<unsigned char>(text[i + n]) & 0xC0) == 0x80;
    if (!valid) size = 1;
    line += valid ? text.substr(i, size) : "?";
    i += size;
  }
  return line;
}

double peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

}  // namespace karat::cli
