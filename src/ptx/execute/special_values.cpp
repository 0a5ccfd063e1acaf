// What special registers hold. A machine of 132 SMs is assumed, CTA i on SM i mod 132.
#include "execute/run.hpp"
#include "program/special.hpp"

namespace karat::ptx {
namespace {

constexpr std::uint32_t kSms = 132;

std::uint64_t value(Special which, const Warp& warp, std::uint32_t lane) {
  const Cta& cta = *warp.cta;
  const Cluster& cluster = *cta.cluster;
  const Extent &block = cluster.block, &grid = cluster.grid, &extent = cluster.extent;
  const std::uint32_t thread = warp.index * 32 + lane;
  const std::uint32_t bit = 1u << lane;
  const auto shared = static_cast<std::uint32_t>(cta.shared.bytes.size()) + kSharedBase;
  switch (which) {
    using enum Special;
    case tid_x:
      return thread % block.x;
    case tid_y:
      return thread / block.x % block.y;
    case tid_z:
      return thread / block.x / block.y;
    case ntid_x:
      return block.x;
    case ntid_y:
      return block.y;
    case ntid_z:
      return block.z;
    case laneid:
      return lane;
    case warpid:
      return warp.index;
    case nwarpid:
      return cta.warps.size();
    case ctaid_x:
      return cta.position.x;
    case ctaid_y:
      return cta.position.y;
    case ctaid_z:
      return cta.position.z;
    case nctaid_x:
      return grid.x;
    case nctaid_y:
      return grid.y;
    case nctaid_z:
      return grid.z;
    case smid:
      return (cta.position.x +
              std::uint64_t{grid.x} * (cta.position.y + std::uint64_t{grid.y} * cta.position.z)) %
             kSms;
    case nsmid:
      return kSms;
    case gridid:
      return 1;
    case is_explicit_cluster:
      return extent.count() > 1;
    case clusterid_x:
      return cta.position.x / extent.x;
    case clusterid_y:
      return cta.position.y / extent.y;
    case clusterid_z:
      return cta.position.z / extent.z;
    case nclusterid_x:
      return grid.x / extent.x;
    case nclusterid_y:
      return grid.y / extent.y;
    case nclusterid_z:
      return grid.z / extent.z;
    case cluster_ctaid_x:
      return cta.position.x % extent.x;
    case cluster_ctaid_y:
      return cta.position.y % extent.y;
    case cluster_ctaid_z:
      return cta.position.z % extent.z;
    case cluster_nctaid_x:
      return extent.x;
    case cluster_nctaid_y:
      return extent.y;
    case cluster_nctaid_z:
      return extent.z;
    case cluster_ctarank:
      return cta.rank;
    case cluster_nctarank:
      return extent.count();
    case lanemask_eq:
      return bit;
    case lanemask_le:
      return bit | (bit - 1);
    case lanemask_lt:
      return bit - 1;
    case lanemask_ge:
      return ~(bit - 1);
    case lanemask_gt:
      return ~(bit | (bit - 1));
    case clock:
    case clock64:
    case globaltimer:
    case globaltimer_lo:
      return cluster.steps;
    case clock_hi:
    case globaltimer_hi:
      return cluster.steps >> 32;
    case total_smem_size:
    case aggr_smem_size:
      return shared;
    case dynamic_smem_size:
      return shared - cluster.program->dynamic_shared;
    case current_graph_exec:
      return 0;
  }
  return 0;
}

}  // namespace

void write_specials(Warp& warp) {
  for (const SpecialPlace& each : warp.cta->cluster->program->specials) {
    const std::uint8_t bytes = each.bytes;
    if (bytes == 0) warp.predicate(each.place) = value(each.which, warp, 0) != 0 ? ~0u : 0;
    for (std::uint32_t lane = 0; lane < 32 && bytes > 0; ++lane) {
      const std::uint64_t bits = value(each.which, warp, lane);
      std::memcpy(warp.file + each.place + lane * bytes, &bits, bytes);
    }
  }
}

std::uint64_t special_value(Special which, const Warp& warp, std::uint32_t lane) {
  return value(which, warp, lane);
}

}  // namespace karat::ptx
