#include "program/special.hpp"

namespace karat::ptx {
namespace {

using enum Special;
constexpr SpecialName kSpecials[] = {
    {"%tid.x", tid_x},
    {"%tid.y", tid_y},
    {"%tid.z", tid_z},
    {"%ntid.x", ntid_x},
    {"%ntid.y", ntid_y},
    {"%ntid.z", ntid_z},
    {"%laneid", laneid},
    {"%warpid", warpid},
    {"%nwarpid", nwarpid},
    {"%ctaid.x", ctaid_x},
    {"%ctaid.y", ctaid_y},
    {"%ctaid.z", ctaid_z},
    {"%nctaid.x", nctaid_x},
    {"%nctaid.y", nctaid_y},
    {"%nctaid.z", nctaid_z},
    {"%smid", smid},
    {"%nsmid", nsmid},
    {"%gridid", gridid, 8},
    {"%is_explicit_cluster", is_explicit_cluster, 0},
    {"%clusterid.x", clusterid_x},
    {"%clusterid.y", clusterid_y},
    {"%clusterid.z", clusterid_z},
    {"%nclusterid.x", nclusterid_x},
    {"%nclusterid.y", nclusterid_y},
    {"%nclusterid.z", nclusterid_z},
    {"%cluster_ctaid.x", cluster_ctaid_x},
    {"%cluster_ctaid.y", cluster_ctaid_y},
    {"%cluster_ctaid.z", cluster_ctaid_z},
    {"%cluster_nctaid.x", cluster_nctaid_x},
    {"%cluster_nctaid.y", cluster_nctaid_y},
    {"%cluster_nctaid.z", cluster_nctaid_z},
    {"%cluster_ctarank", cluster_ctarank},
    {"%cluster_nctarank", cluster_nctarank},
    {"%lanemask_eq", lanemask_eq},
    {"%lanemask_le", lanemask_le},
    {"%lanemask_lt", lanemask_lt},
    {"%lanemask_ge", lanemask_ge},
    {"%lanemask_gt", lanemask_gt},
    {"%clock", clock},
    {"%clock_hi", clock_hi},
    {"%clock64", clock64, 8},
    {"%globaltimer", globaltimer, 8},
    {"%globaltimer_lo", globaltimer_lo},
    {"%globaltimer_hi", globaltimer_hi},
    {"%total_smem_size", total_smem_size},
    {"%dynamic_smem_size", dynamic_smem_size},
    {"%aggr_smem_size", aggr_smem_size},
    {"%current_graph_exec", current_graph_exec, 8},
};

}  // namespace

std::optional<SpecialName> special_named(std::string_view name) {
  for (const SpecialName& row : kSpecials)
    if (row.name == name) return row;
  return std::nullopt;
}

bool is_clock(Special which) { return which >= clock && which <= globaltimer_hi; }

}  // namespace karat::ptx
