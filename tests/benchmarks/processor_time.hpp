// Processor time of work on one thread: others on the machine do not count.
#pragma once

#include <ctime>

namespace karat {

/// Seconds of processor time that work() takes.
double processor_seconds(const auto& work) {
  const std::clock_t begin = std::clock();
  work();
  return static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace karat
