// Only the main thread of a rank speaks MPI; on rank 0 another one works meanwhile.
#include "sweep/mpi.hpp"

#include <mpi.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

#include "interrupt.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::cli {
namespace {

constexpr int kAsk = 1, kAnswer = 2;
constexpr std::int64_t kNothingLeft = -1;
constexpr auto kPause = std::chrono::milliseconds(1);

class Session {
 public:
  Session() {
    int granted = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &granted);
    if (granted < MPI_THREAD_FUNNELED)
      throw Error(ErrorKind::input_output, "--mpi", "this MPI allows no threads",
                  "use another MPI, or --slurm");
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
  }
  ~Session() {
    // A rank that throws ends without it, after its one line: mpirun then ends the others.
    if (std::uncaught_exceptions() == 0) MPI_Finalize();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  int rank = 0, size = 1;
};

/// Answers the other ranks until each has been told that nothing is left.
void deal_out(const Session& session, std::atomic<std::int64_t>& next, std::int64_t count) {
  int asking = session.size - 1;
  while (asking > 0) {
    int there = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, kAsk, MPI_COMM_WORLD, &there, &status);
    if (there == 0) {
      throw_if_interrupted();
      std::this_thread::sleep_for(kPause);
      continue;
    }
    MPI_Recv(nullptr, 0, MPI_BYTE, status.MPI_SOURCE, kAsk, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    std::int64_t place = next++;
    if (place >= count) {
      place = kNothingLeft;
      --asking;
    }
    MPI_Send(&place, 1, MPI_INT64_T, status.MPI_SOURCE, kAnswer, MPI_COMM_WORLD);
  }
}

/// The sums of all ranks, on rank 0. Failures are in the plan's folder: rank 0 knows those it
/// dealt.
std::optional<sweep::RunReport> sum(const Session& session, const sweep::Plan& plan,
                                    sweep::RunReport report) {
  std::uint64_t mine[] = {report.made, report.found, report.repeated, report.taken, report.held};
  std::uint64_t all[std::size(mine)] = {};
  MPI_Reduce(mine, all, std::size(mine), MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
  if (session.rank != 0) return std::nullopt;
  report.made = all[0];
  report.found = all[1];
  report.repeated = all[2];
  report.taken = all[3];
  report.held = all[4];
  report.failed.clear();
  for (const sweep::Failure& failure : sweep::list_failures(plan))
    report.failed.push_back({failure.shard, failure.reason});
  return report;
}

}  // namespace

std::optional<sweep::RunReport> run_under_mpi(const sweep::Plan& plan,
                                              const sweep::RunOptions& given) {
  const Session session;
  sweep::RunOptions options = given;
  const auto count =
      static_cast<std::int64_t>(given.only.empty() ? plan.size() : given.only.size());
  if (session.rank != 0) {
    options.deal = []() -> std::optional<std::size_t> {
      MPI_Send(nullptr, 0, MPI_BYTE, 0, kAsk, MPI_COMM_WORLD);
      std::int64_t place = 0;
      MPI_Recv(&place, 1, MPI_INT64_T, 0, kAnswer, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      if (place == kNothingLeft) return std::nullopt;
      return static_cast<std::size_t>(place);
    };
    return sum(session, plan, sweep::run(plan, options));
  }
  std::atomic<std::int64_t> next = 0;
  options.deal = [&]() -> std::optional<std::size_t> {
    const std::int64_t place = next++;
    if (place >= count) return std::nullopt;
    return static_cast<std::size_t>(place);
  };
  sweep::RunReport report;
  std::exception_ptr failure;
  std::thread worker([&] {
    try {
      report = sweep::run(plan, options);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  try {
    deal_out(session, next, count);
  } catch (...) {
    worker.join();
    throw;
  }
  worker.join();
  if (failure) std::rethrow_exception(failure);
  return sum(session, plan, std::move(report));
}

}  // namespace karat::cli
