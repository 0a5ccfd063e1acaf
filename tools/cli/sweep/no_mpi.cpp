// What --mpi says where no MPI was found when karat was built.
#include "karat/numerics/base/error.hpp"
#include "sweep/mpi.hpp"

namespace karat::cli {

std::optional<sweep::RunReport> run_under_mpi(const sweep::Plan&, const sweep::RunOptions&) {
  throw Error(ErrorKind::usage, "--mpi", "this karat was built without MPI",
              "install libopenmpi-dev and build again, or use --slurm or --shard I/N");
}

}  // namespace karat::cli
