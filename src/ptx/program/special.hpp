// Private: special registers (PTX ISA 9.1, section "Special Registers").
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace karat::ptx {

enum class Special : std::uint8_t {
  tid_x,
  tid_y,
  tid_z,
  ntid_x,
  ntid_y,
  ntid_z,
  laneid,
  warpid,
  nwarpid,
  ctaid_x,
  ctaid_y,
  ctaid_z,
  nctaid_x,
  nctaid_y,
  nctaid_z,
  smid,
  nsmid,
  gridid,
  is_explicit_cluster,
  clusterid_x,
  clusterid_y,
  clusterid_z,
  nclusterid_x,
  nclusterid_y,
  nclusterid_z,
  cluster_ctaid_x,
  cluster_ctaid_y,
  cluster_ctaid_z,
  cluster_nctaid_x,
  cluster_nctaid_y,
  cluster_nctaid_z,
  cluster_ctarank,
  cluster_nctarank,
  lanemask_eq,
  lanemask_le,
  lanemask_lt,
  lanemask_ge,
  lanemask_gt,
  clock,
  clock_hi,
  clock64,
  globaltimer,
  globaltimer_lo,
  globaltimer_hi,
  total_smem_size,
  dynamic_smem_size,
  aggr_smem_size,
  current_graph_exec
};

struct SpecialName {
  std::string_view name;
  Special which;
  std::uint8_t bytes = 4;
};

/// nothing for a name that is no special register we have
std::optional<SpecialName> special_named(std::string_view name);
/// It counts on while a warp runs.
bool is_clock(Special which);

}  // namespace karat::ptx
