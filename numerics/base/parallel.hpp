// A loop over independent items on several threads. Which thread runs an item is left to chance;
// items must write to places of their own, so results never depend on the number of threads.
#pragma once

#include <cstddef>
#include <functional>

namespace karat::numerics {

/// Threads the machine offers, at least 1.
int hardware_threads();

/// Runs body(item, worker) for every item in [0, count) on `threads` workers (0 = all the machine
/// offers), worker in [0, threads). Items are handed out in ascending order. The first exception
/// thrown by a body stops the loop and is rethrown here.
void parallel_for(std::size_t count, int threads,
                  const std::function<void(std::size_t item, int worker)>& body);

}  // namespace karat::numerics
