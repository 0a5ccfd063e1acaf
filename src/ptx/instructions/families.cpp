// The table of instructions. What the units compute lane by lane needs no row.
#include "instructions/families.hpp"

namespace karat::ptx {
namespace {

constexpr Family kLaneOps{"", decode_lane_op};

constexpr Family kFamilies[] = {
    {"activemask", decode_activemask},
    {"addc", decode_carry},
    {"and", decode_logic},
    {"applypriority", decode_nothing},
    {"atom", decode_atomic},
    {"bar", decode_bar},
    {"barrier", decode_bar},
    {"bfi", decode_bfi},
    {"bra", decode_bra},
    {"brkpt", decode_trap},
    {"brx", decode_brx},
    {"call", decode_call},
    {"cp", decode_cp},
    {"createpolicy", decode_nothing},
    {"cvta", decode_cvta},
    {"discard", decode_nothing},
    {"elect", decode_elect},
    {"exit", decode_exit},
    {"fence", decode_fence},
    {"getctarank", decode_mapa},
    {"griddepcontrol", decode_nothing},
    {"isspacep", decode_isspacep},
    {"ld", decode_load},
    {"ldmatrix", decode_matrix_move},
    {"ldu", decode_load},
    {"lop3", decode_lop3},
    {"madc", decode_carry},
    {"mapa", decode_mapa},
    {"match", decode_match},
    {"mbarrier", decode_mbarrier},
    {"membar", decode_fence},
    {"mma", decode_mma},
    {"mov", decode_mov},
    {"movmatrix", decode_matrix_move},
    {"nanosleep", decode_nothing},
    {"not", decode_logic},
    {"or", decode_logic},
    {"prefetch", decode_nothing},
    {"prefetchu", decode_nothing},
    {"red", decode_atomic},
    {"redux", decode_redux},
    {"ret", decode_exit},
    {"selp", decode_selp},
    {"set", decode_set},
    {"setmaxnreg", decode_nothing},
    {"setp", decode_setp},
    {"shfl", decode_shfl},
    {"st", decode_store},
    {"stmatrix", decode_matrix_move},
    {"subc", decode_carry},
    {"tensormap", decode_tensormap},
    {"testp", decode_setp},
    {"trap", decode_trap},
    {"vote", decode_vote},
    {"wgmma", decode_wgmma},
    {"xor", decode_logic},
};

}  // namespace

const Family* family_named(std::string_view name) {
  for (const Family& row : kFamilies)
    if (row.name == name) return &row;
  return units::is_lane_op(name) ? &kLaneOps : nullptr;
}

}  // namespace karat::ptx
