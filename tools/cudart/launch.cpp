#include "launch.hpp"

#include <cstdio>
#include <fstream>
#include <iostream>
#include <optional>
#include <set>

#include "device.hpp"
#include "errors.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/ptx/run.hpp"
#include "modules.hpp"
#include "record.hpp"
#include "settings.hpp"

namespace karat::cudart {
namespace {

ptx::Dimensions dimensions(Dim3 d) { return {d.x, d.y, d.z}; }

std::uint64_t count(Dim3 d) { return std::uint64_t{d.x} * d.y * d.z; }

/// The cluster a launch asks for: by attribute, by cudaFuncSetAttribute(), by the kernel itself.
Dim3 cluster_of(const Kernel& kernel, const ptx::KernelInfo& info, const LaunchConfig& config) {
  for (std::uint32_t i = 0; i < config.attribute_count; ++i) {
    const LaunchAttribute& each = config.attributes[i];
    if (each.id == kClusterDimension && count(each.cluster) > 0) return each.cluster;
    if (each.id == kCooperative && each.number != 0)
      throw Error(ErrorKind::usage, "cooperative launch",
                  "CTAs of a grid do not run all at once here");
  }
  if (count(kernel.cluster) > 0) return kernel.cluster;
  if (info.required_cluster[0] != 0)
    return {info.required_cluster[0], info.required_cluster[1], info.required_cluster[2]};
  return {};
}

std::vector<ptx::Argument> arguments_of(const ptx::KernelInfo& info, void** arguments) {
  std::vector<ptx::Argument> list;
  for (std::size_t i = 0; i < info.parameters.size(); ++i) {
    const auto* const from = static_cast<const std::byte*>(arguments[i]);
    list.push_back(ptx::BytesArgument{{from, from + info.parameters[i].bytes}, {}});
  }
  return list;
}

/// Every block that is there, the kernel's own variables under their names.
std::vector<ptx::LaunchMemory> memory_of(Image& image) {
  std::set<std::uint64_t> own;
  for (const auto& [name, block] : image.variables()) own.insert(block.address());
  std::vector<ptx::LaunchMemory> list;
  std::set<std::string> names;
  for (const Block& each : blocks().list()) {
    ptx::LaunchMemory memory{.name = each.name, .address = each.address(), .bytes = each.bytes};
    if (own.contains(each.address())) memory.variable = each.name;
    for (int i = 2; !names.insert(memory.name).second; ++i)
      memory.name = each.name + "_" + std::to_string(i);
    list.push_back(std::move(memory));
  }
  return list;
}

void append_report(const ptx::Launch& launch, const ptx::Outcome& outcome,
                   const std::string& file) {
  const std::string text = launch.kernel + "\n" + ptx::to_text(outcome) + "\n";
  if (file == "-") {
    std::cerr << text;
    return;
  }
  std::ofstream out(file, std::ios::app);
  if (!(out << text))
    throw Error(ErrorKind::usage, "KARAT_CUDART_REPORT", "cannot append to " + file);
}

int run(ptx::Launch launch, const Settings& all) {
  const ptx::Outcome outcome = ptx::run(launch);
  for (const std::string& each : outcome.hazards) std::fprintf(stderr, "karat: %s\n", each.c_str());
  if (outcome.not_looked_at.any())
    std::fprintf(stderr, "karat: %s\n", ptx::to_text(outcome.not_looked_at).c_str());
  if (!all.report.empty()) append_report(launch, outcome, all.report);
  if (!outcome.fault) return kSuccess;
  std::fprintf(stderr, "karat: %s\n", outcome.fault->c_str());
  set_device_lost();
  return kLaunchFailure;
}

int refuse(int code, const Kernel& kernel, const std::string& why) {
  return failed(code, kernel.name.c_str(), why.c_str());
}

}  // namespace

int launch(const void* function, const LaunchConfig& config, void** arguments) {
  const Settings& all = settings();
  Kernel* const kernel = registry().kernel(function);
  if (kernel == nullptr) return failed(kInvalidDeviceFunction, "launch", "no such kernel");
  const ptx::KernelInfo* const info = kernel->image->kernel(kernel->name);
  if (info == nullptr) return refuse(kInvalidDeviceFunction, *kernel, "the PTX has no such kernel");
  const std::uint64_t shared = info->static_shared + config.dynamic_shared;
  const bool allowed = kernel->most_dynamic_shared >= 0 &&
                       config.dynamic_shared <= std::uint64_t(kernel->most_dynamic_shared);
  if (shared > kSharedMemory && !allowed)
    return refuse(
        kInvalidValue, *kernel,
        std::to_string(shared) +
            " bytes of shared memory; above 48 KiB "
            "cudaFuncSetAttribute(cudaFuncAttributeMaxDynamicSharedMemorySize) must allow "
            "them");
  const Dim3 cluster = cluster_of(*kernel, *info, config);
  if (count(cluster) > kPortableCluster && !kernel->non_portable_cluster)
    return refuse(kInvalidClusterSize, *kernel,
                  "clusters above 8 CTAs need cudaFuncAttributeNonPortableClusterSizeAllowed");
  ptx::Launch launch;
  launch.module = kernel->image->module();
  launch.kernel = kernel->name;
  launch.grid = dimensions(config.grid);
  launch.block = dimensions(config.block);
  launch.cluster = dimensions(cluster);
  launch.dynamic_shared = static_cast<std::uint32_t>(config.dynamic_shared);
  const auto kept = blocks().keep();
  launch.memory = memory_of(*kernel->image);
  launch.arguments = arguments_of(*info, arguments);
  launch.fuse = all.fuse;
  launch.hazards = all.hazards;
  launch.schedule = all.schedule;
  launch.seed = all.seed;
  launch.limit = all.limit;
  launch.threads = all.threads;
  std::optional<Recording> recording;
  if (all.mode != Mode::run)
    recording.emplace(all.folder, launch, kernel->image->text(), kernel->image->number(), all.mode);
  if (all.mode == Mode::record) return kSuccess;
  const int code = run(launch, all);
  if (recording && code == kSuccess) recording->finish(launch);
  return code;
}

}  // namespace karat::cudart
