// A plan run by the ranks of an MPI job: shards are dealt one by one, the longest first.
#pragma once

#include <optional>

#include "karat/sweep/runner.hpp"

namespace karat::cli {

/// Runs this rank. On rank 0 the report is that of all ranks, elsewhere there is none. Rank 0
/// deals, and works beside that. Claims are made as everywhere, so that MPI jobs, arrays and plain
/// runners may work at one plan.
/// @throws Error(usage) where karat was built without MPI
std::optional<sweep::RunReport> run_under_mpi(const sweep::Plan& plan,
                                              const sweep::RunOptions& options);

}  // namespace karat::cli
