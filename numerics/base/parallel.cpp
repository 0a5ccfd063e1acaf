// Implementation of parallel.hpp on OpenMP.
#include "karat/numerics/base/parallel.hpp"

#include <omp.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>

namespace karat::numerics {
namespace {

/// A forked child has none of its parent's threads, yet GNU's runtime would wait for them there. So
/// the forking thread lets its idle threads go first; its next loop starts new ones.
void survive_forks() {
  static const int registered =
      ::pthread_atfork([] { omp_pause_resource_all(omp_pause_soft); }, nullptr, nullptr);
  (void)registered;
}

}  // namespace

int default_threads() { return omp_get_max_threads(); }

void parallel_for(std::size_t count, int threads,
                  const std::function<void(std::size_t, int)>& body) {
  const std::size_t workers = threads > 0 ? threads : default_threads();
  if (workers == 1 || count <= 1 || omp_in_parallel()) {
    // A team of one costs a microsecond, and kernels of small groups have millions of loops.
    for (std::size_t item = 0; item < count; ++item) body(item, 0);
    return;
  }
  survive_forks();
  std::atomic<bool> failed = false;
  std::exception_ptr failure;
#pragma omp parallel for schedule(monotonic : dynamic) num_threads(std::min(workers, count))
  for (std::size_t item = 0; item < count; ++item) {
    if (failed) continue;
    try {
      body(item, omp_get_thread_num());
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void parallel_in_order(
    std::size_t count, int threads,
    const std::function<std::function<void()>(std::size_t item, int worker)>& work) {
  std::mutex mutex;
  std::condition_variable turned;
  std::size_t next = 0;        // the item whose turn it is to leave
  std::size_t failed = count;  // the first that failed so far
  std::exception_ptr failure;
  // Whoever waits for an item waits for one that was begun before, so some thread runs it.
  const auto run = [&](std::size_t item, int worker) {
    const std::function<void()> leave = work(item, worker);
    {
      std::unique_lock lock(mutex);
      turned.wait(lock, [&] { return next == item || failed < item; });
      if (failed < item) return;
    }
    if (leave) leave();
    const std::lock_guard lock(mutex);
    ++next;
    turned.notify_all();
  };
  parallel_for(count, threads, [&](std::size_t item, int worker) {
    {
      const std::lock_guard lock(mutex);
      if (failed < item) return;
    }
    try {
      run(item, worker);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (failed < item) return;
      failed = item;
      failure = std::current_exception();
      turned.notify_all();
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace karat::numerics
