// A head of the tensor-map kernel, run with the search for hazards off and on, in pairs:
//   benchmark_ptx_run [TOKENS [KEPT [PAIRS [THREADS]]]]
// Default 32768 tokens (a head of 32760 is padded to that), 61 kept key blocks of 256 for each
// query block, 3 pairs, 2 threads. Each run is a process of its own, so that the largest resident
// size is its own. Processor time is user and system time of all threads: on a machine that others
// use too, half of it is what two idle cores would take.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "sparse_fp8.hpp"

namespace {

using namespace karat::ptx;

struct Measured {
  double wall = 0, processor = 0;  ///< seconds
  double instructions = 0;         ///< of warps
  double megabytes = 0;            ///< largest resident size of the process, inputs included
  bool sound = false;              ///< no fault, no hazard
};

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}
double processor_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Measured measure_here(std::size_t tokens, std::size_t kept, int threads, HazardSearch hazards) {
  Launch launch = make_launch(make_inputs(1, tokens, evenly(kept, tokens / kBlock)),
                              ptx_of(KARAT_SOURCE_DIR, true), true);
  launch.threads = threads;
  launch.hazards = hazards;
  Measured measured;
  const double before = processor_seconds();
  const auto begin = std::chrono::steady_clock::now();
  const Outcome outcome = run(std::move(launch));
  measured.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  measured.processor = processor_seconds() - before;
  measured.instructions = static_cast<double>(outcome.warp_instructions);
  measured.sound = !outcome.fault && outcome.hazards.empty();
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  measured.megabytes = static_cast<double>(usage.ru_maxrss) / 1024;
  return measured;
}

Measured measure(std::size_t tokens, std::size_t kept, int threads, HazardSearch hazards) {
  int ends[2];
  if (pipe(ends) != 0) std::exit(1);
  const pid_t child = fork();
  if (child < 0) std::exit(1);
  if (child == 0) {
    const Measured measured = measure_here(tokens, kept, threads, hazards);
    _exit(write(ends[1], &measured, sizeof measured) == sizeof measured ? 0 : 1);
  }
  close(ends[1]);
  Measured measured;
  const bool whole = read(ends[0], &measured, sizeof measured) == sizeof measured;
  close(ends[0]);
  waitpid(child, nullptr, 0);
  if (!whole) std::exit(1);
  return measured;
}

void print(const char* name, const Measured& each) {
  std::printf("%-8s %9.2f %12.2f %14.1f %26.2f %8.0f%s\n", name, each.wall, each.processor,
              each.instructions * 1e-6, each.instructions * 1e-6 / each.processor, each.megabytes,
              each.sound ? "" : "  NOT SOUND");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int i, std::size_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const std::size_t tokens = number(1, 32768), kept = number(2, 61), pairs = number(3, 3);
  const int threads = static_cast<int>(number(4, 2));
  if (tokens % kBlock != 0 || kept == 0 || kept > tokens / kBlock) {
    std::fprintf(stderr, "TOKENS: a multiple of %zu; KEPT: 1 to TOKENS / %zu\n", kBlock, kBlock);
    return 2;
  }
  std::printf("%zu tokens, %zu of %zu key blocks, %d threads\n", tokens, kept, tokens / kBlock,
              threads);
  std::printf("%-8s %9s %12s %14s %26s %8s\n", "hazards", "wall s", "processor s", "10^6 warp ins.",
              "10^6 a second and core", "MiB");
  Measured best[2];
  std::vector<double> ratios;
  for (std::size_t i = 0; i < pairs; ++i) {
    double of_pair[2];
    for (const HazardSearch search : {HazardSearch::off, HazardSearch::on}) {
      const auto which = static_cast<std::size_t>(search == HazardSearch::on);
      const Measured now = measure(tokens, kept, threads, search);
      print(which != 0 ? "on" : "off", now);
      of_pair[which] = now.processor;
      if (best[which].processor == 0 || now.processor < best[which].processor) best[which] = now;
    }
    ratios.push_back(of_pair[1] / of_pair[0]);
  }
  if (ratios.empty()) return 0;
  std::ranges::sort(ratios);
  std::printf("best of %zu:\n", pairs);
  print("off", best[0]);
  print("on", best[1]);
  std::printf("processor time with hazards, times that without, median of pairs: %.2f\n",
              ratios[ratios.size() / 2]);
}
