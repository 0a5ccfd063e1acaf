// The pipeline of an attention CTA as processes on one SM: producer, loads, tensor core, consumer
// warpgroups, epilogue. Overlap is what comes out; nothing here says how much there is.
#include "sm.hpp"

#include "karat/numerics/base/error.hpp"
#include "processes.hpp"

namespace karat::hopper {

SmRun Sm::run(const std::vector<std::vector<TileWork>>& tiles) {
  std::vector<std::unique_ptr<Cta>> ctas;
  std::int64_t groups = 0;
  for (std::size_t slot = 0; slot < tiles.size(); ++slot) {
    auto cta = std::make_unique<Cta>(engine_, p_.warpgroups);
    cta->index = static_cast<int>(slot);
    cta->tiles = tiles[slot];
    for (const TileWork& tile : tiles[slot])
      groups += std::int64_t{2} * p_.warpgroups * tile.blocks;
    ctas.push_back(std::move(cta));
  }
  engine_.spawn(tensor_core(groups));
  for (auto& cta : ctas) {
    engine_.spawn(producer(*cta));
    if (p_.v_transpose == VTranspose::in_kernel) engine_.spawn(transpose_v(*cta));
    for (int g = 0; g < p_.warpgroups; ++g) engine_.spawn(consumer(*cta, g));
    engine_.spawn(store(*cta));
  }
  SmRun result;
  result.events = engine_.run();
  if (!engine_.finished()) {
    throw Error(ErrorKind::internal, "pipeline simulation", "processes wait for each other");
  }
  result.end = engine_.now();
  for (int u = 0; u < kUnits; ++u) result.busy[u] = units_[u].busy;
  for (auto& cta : ctas) result.tile_end.push_back(cta->tile_end);
  result.block_begin = ctas[0]->block_begin;
  return result;
}

SmRun run_sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
             const std::vector<std::vector<TileWork>>& tiles, std::vector<Slice>* trace) {
  return Sm(machine, timing, plan, supply, trace).run(tiles);
}

}  // namespace karat::hopper
