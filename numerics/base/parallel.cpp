// Implementation of numerics/parallel.hpp on std::thread.
#include "karat/numerics/base/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace karat::numerics {

int hardware_threads() { return std::max(1u, std::thread::hardware_concurrency()); }

void parallel_for(std::size_t count, int threads,
                  const std::function<void(std::size_t, int)>& body) {
  if (threads <= 0) threads = hardware_threads();
  const auto workers = static_cast<int>(std::min<std::size_t>(threads, count));
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex failure_lock;
  const auto work = [&](int worker) {
    for (std::size_t item; (item = next.fetch_add(1)) < count;) {
      try {
        body(item, worker);
      } catch (...) {
        const std::lock_guard hold(failure_lock);
        if (!failure) failure = std::current_exception();
        next = count;
        return;
      }
    }
  };
  std::vector<std::thread> others;
  for (int worker = 1; worker < workers; ++worker) others.emplace_back(work, worker);
  if (workers > 0) work(0);
  for (auto& thread : others) thread.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace karat::numerics
