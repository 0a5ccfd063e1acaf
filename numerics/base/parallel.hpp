// A loop over independent items on OpenMP's threads. Which thread runs an item is left to chance;
// items must write to places of their own, so results never depend on the number of threads.
#pragma once

#include <cstddef>
#include <functional>

namespace karat::numerics {

/// Threads of a loop that names no number: OMP_NUM_THREADS, else all the machine offers; at
/// least 1.
int default_threads();

/// Runs body(item, worker) for every item in [0, count) on `threads` workers (0 =
/// default_threads()), worker in [0, threads); worker 0 is the caller. Items are handed out in
/// ascending order. The first exception thrown by a body stops the loop and is rethrown here. A
/// loop inside a body runs on that body's thread alone. A process may fork between loops and run
/// loops on both sides.
void parallel_for(std::size_t count, int threads,
                  const std::function<void(std::size_t item, int worker)>& body);

/// Items whose results leave in order. Runs work(item, worker) as parallel_for() does, then what it
/// returned, on the same thread: one at a time, item after item; an empty function counts as one.
/// So at most `threads` items are between the two. Where several fail, in either part, the failure
/// of the first item is rethrown here: everything before it has left, nothing behind it does.
void parallel_in_order(
    std::size_t count, int threads,
    const std::function<std::function<void()>(std::size_t item, int worker)>& work);

}  // namespace karat::numerics
