// From a launch to its outputs.
#include "karat/ptx/run.hpp"

#include <algorithm>
#include <cstring>

#include "execute/run.hpp"
#include "launch/arguments.hpp"
#include "program/decoder.hpp"
#include "program/fuse.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint64_t kMostThreads = 1024;
constexpr std::uint64_t kMostLocal = std::uint64_t{256} << 20;
constexpr std::uint64_t kMostGlobal = std::uint64_t{256} << 20;  // all variables of a module

[[noreturn]] void refuse(const std::string& subject, const std::string& problem) {
  throw Error(ErrorKind::usage, subject, problem);
}

Function& kernel_of(Module& module, const std::string& name) {
  std::string entries;
  Function* found = nullptr;
  std::size_t count = 0;
  for (Function& each : module.functions) {
    if (!each.entry) continue;
    ++count;
    if (name.empty() || each.name == name) found = &each;
    if (count <= 8) entries += (entries.empty() ? "" : ", ") + each.name;
  }
  if (found == nullptr) refuse("kernel", "\"" + name + "\" is none of the module's: " + entries);
  if (name.empty() && count > 1) refuse("kernel", "the module has several, name one: " + entries);
  return *found;
}

Extent extent_of(Dimensions d) { return {d.x, d.y, d.z}; }

void require_shape(const Launch& launch, const Function& kernel) {
  const Dimensions &grid = launch.grid, &block = launch.block, &cluster = launch.cluster;
  for (const Dimensions* each : {&grid, &block, &cluster})
    if (each->x == 0 || each->y == 0 || each->z == 0)
      refuse("launch", "grid, block and cluster are at least 1");
  if (extent_of(block).count() > kMostThreads || block.x > kMostThreads || block.y > kMostThreads ||
      block.z > 64)
    refuse("block", "a CTA has at most 1024 threads");
  if (grid.y > 65535 || grid.z > 65535 || grid.x > 0x7FFFFFFF)
    refuse("grid", "at most 2^31 - 1, 65535 and 65535 CTAs");
  if (extent_of(cluster).count() > 16 || grid.x % cluster.x != 0 || grid.y % cluster.y != 0 ||
      grid.z % cluster.z != 0)
    refuse("cluster", "a cluster has at most 16 CTAs and divides the grid");
  const auto& wanted = kernel.required_block;
  if (wanted[0] != 0 && (wanted[0] != block.x || wanted[1] != block.y || wanted[2] != block.z))
    refuse("block", kernel.name + " requires " + std::to_string(wanted[0]) + " x " +
                        std::to_string(wanted[1]) + " x " + std::to_string(wanted[2]) + " threads");
  if (kernel.most_threads != 0 && extent_of(block).count() > kernel.most_threads)
    refuse("block", kernel.name + " takes at most " + std::to_string(kernel.most_threads) +
                        " threads a CTA");
  if (kernel.most_cluster_ctas != 0 && extent_of(cluster).count() > kernel.most_cluster_ctas)
    refuse("cluster", kernel.name + " takes at most " + std::to_string(kernel.most_cluster_ctas) +
                          " CTAs a cluster");
  const auto& together = kernel.required_cluster;
  if (together[0] != 0 &&
      (together[0] != cluster.x || together[1] != cluster.y || together[2] != cluster.z))
    refuse("cluster", kernel.name + " requires clusters of " + std::to_string(together[0]) + " x " +
                          std::to_string(together[1]) + " x " + std::to_string(together[2]));
}

/// The module's own variables in global memory.
class ModuleMemory {
 public:
  ModuleMemory(const Module& module, Memory& memory) : buffers_(module.variables.size()) {
    require_small(module);
    for (std::size_t i = 0; i < module.variables.size(); ++i) {
      const Variable& each = module.variables[i];
      addresses.push_back(0);
      if (each.space == Space::shared) continue;
      buffers_[i].resize(each.bytes);
      if (!each.initial.empty())
        std::memcpy(buffers_[i].data(), each.initial.data(), each.initial.size());
      addresses[i] = memory.place(buffers_[i], each.name);
    }
    for (std::size_t i = 0; i < module.variables.size(); ++i)
      for (const Relocation& each : module.variables[i].relocations) relocate(module, i, each);
  }

  VariableAddresses addresses;

 private:
  static void require_small(const Module& module) {
    std::uint64_t bytes = 0;
    for (const Variable& each : module.variables) {
      bytes += each.space == Space::shared ? 0 : each.bytes;
      if (bytes > kMostGlobal)
        throw Error(ErrorKind::input_output, module.file + ":" + std::to_string(each.line),
                    "the module's variables exceed 256 MiB");
    }
  }

  void relocate(const Module& module, std::size_t i, const Relocation& relocation) {
    for (std::size_t other = 0; other < module.variables.size(); ++other) {
      if (module.variables[other].name != relocation.symbol) continue;
      const std::uint64_t value = addresses[other] + static_cast<std::uint64_t>(relocation.addend);
      const std::size_t left = buffers_[i].size() - std::min(relocation.offset, buffers_[i].size());
      std::memcpy(buffers_[i].data() + relocation.offset, &value, std::min<std::size_t>(8, left));
      return;
    }
    throw Error(ErrorKind::input_output,
                module.file + ":" + std::to_string(module.variables[i].line),
                relocation.symbol + " is declared nowhere");
  }

  std::vector<std::vector<std::byte>> buffers_;
};

Ground ground_of(units::Fidelity fidelity) { return static_cast<Ground>(fidelity); }

void count_instructions(const Program& program, const std::vector<std::uint64_t>& executed,
                        Outcome& outcome) {
  std::vector<std::uint64_t> of_instruction(program.function->body.size() + 1, 0);
  for (std::size_t i = 0; i < executed.size(); ++i) {
    std::uint64_t& count = of_instruction[program.code[i].instruction];
    count = std::max(count, executed[i]);
  }
  std::map<std::string, InstructionCount> by_name;
  for (std::size_t i = 0; i < program.function->body.size(); ++i) {
    if (of_instruction[i] == 0) continue;
    InstructionCount& row = by_name[program.function->body[i].opcode];
    ++row.places;
    row.warps += of_instruction[i];
    row.ground = std::max(row.ground, ground_of(program.fidelity[i]));
    outcome.warp_instructions += of_instruction[i];
  }
  for (auto& [name, row] : by_name) {
    row.opcode = name;
    outcome.instructions.push_back(std::move(row));
  }
  std::ranges::stable_sort(outcome.instructions, std::ranges::greater{}, &InstructionCount::warps);
}

}  // namespace

Ground Outcome::ground() const {
  Ground weakest = Ground::definition;
  for (const InstructionCount& each : instructions) weakest = std::max(weakest, each.ground);
  return weakest;
}

Outcome run(Launch launch) {
  Module module = parse(launch.ptx, launch.file.empty() ? "ptx" : launch.file);
  Function& kernel = kernel_of(module, launch.kernel);
  require_shape(launch, kernel);
  Outcome outcome;
  if (launch.fuse == Fuse::ptxas) outcome.fused = fuse_products(kernel);

  Memory memory;
  TensorAddresses addresses;
  for (auto& [name, tensor] : launch.tensors)
    addresses[name] = memory.place(tensor.value.bytes, name);
  const ModuleMemory variables(module, memory);
  const Program program = make_program(module, kernel, variables.addresses);
  if (std::uint64_t{program.dynamic_shared} + launch.dynamic_shared > kSharedLimit)
    refuse("dynamic_shared", "shared memory of a CTA exceeds 227 KiB");

  if (launch.hazards == HazardSearch::on && extent_of(launch.cluster).count() > 1)
    refuse("hazards", "they are looked for in launches without clusters");
  if (program.local_bytes * extent_of(launch.block).count() > kMostLocal)
    refuse("block", "local memory of a CTA exceeds 256 MiB");

  GridRun done = run_grid({.program = &program,
                           .memory = &memory,
                           .parameters = argument_bytes(launch, program, addresses),
                           .grid = extent_of(launch.grid),
                           .block = extent_of(launch.block),
                           .cluster = extent_of(launch.cluster),
                           .dynamic_shared = launch.dynamic_shared,
                           .limit = launch.limit,
                           .schedule = launch.schedule,
                           .seed = launch.seed,
                           .hazards = launch.hazards == HazardSearch::on,
                           .threads = launch.threads});
  outcome.fault = std::move(done.fault);
  outcome.hazards = std::move(done.hazards);
  count_instructions(program, done.executed, outcome);
  for (auto& [name, tensor] : launch.tensors)
    if (tensor.output) outcome.outputs.emplace(name, std::move(tensor.value));
  return outcome;
}

}  // namespace karat::ptx
