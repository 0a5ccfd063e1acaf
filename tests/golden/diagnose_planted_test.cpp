// Twelve bugs in a kernel that shares nothing with the library (planted_kernel.py), o alone handed
// over. docs/diagnose.md tells the counts.
#include <cstdlib>
#include <iostream>

#include "diagnose_case.hpp"
#include "karat/golden/diagnose_report.hpp"

namespace karat::golden {
namespace {

class DiagnosePlanted : public DiagnoseCase, public testing::Test {};

struct Bug {
  const char* planted;
  const char* named;  ///< the hypothesis that is it
};
constexpr Bug kBugs[] = {
    {"no_multiplier", "p.multiplier 448 -> 1"},
    {"no_softmax_scale", "softmax scale missing"},
    {"scales_per_tensor", "q.group \"tile\" -> \"tensor\", k.group \"tile\" -> \"tensor\""},
    {"bf16_p",
     "p.format \"e4m3\" -> \"bf16\", p.overflow \"saturate\" -> \"infinity\", pv.instruction "
     "\"hopper.wgmma.e4m3.f32\" -> "
     "\"hopper.wgmma.bf16.f32\""},
    {"output_in_tile_order", "output left tiled"},
    {"heads_swapped", "output of the next head"},
    {"mask_off_by_one_tile", "key tiles one further in the list"},
    {"v_scales_reordered", "v scales even then odd, codes not"},
    {"q_and_k_scales_swapped", "scales of q and k exchanged"},
    {"short_block_dropped", "short blocks left out"},
    {"h_and_w_transposed_in_tiling", "tiling with axes h and w exchanged"},
    {"head_dim_padded_to_128", "softmax scale of d padded to 128"},
};
constexpr int kCaught = 12, kNamed = 12;

/// Tiles of 48 tokens leave a short block of keys; no two extents of grid or tile are equal.
recipe::Recipe planted_recipe() {
  recipe::Recipe recipe = small("fpsattention");
  recipe.mask.tile = recipe.q.tile = recipe.k.tile = {2, 4, 6};
  return recipe;
}

TEST_F(DiagnosePlanted, NamesTheBugsOfAnIndependentKernel) {
  const GoldenFile golden =
      make_golden(planted_recipe(), {.grid = {2, 8, 24}, .heads = 2, .head_dim = 80, .seed = 5});
  const std::string command = std::string(KARAT_PYTHON) + " -B " + KARAT_SOURCE_DIR +
                              "/tests/golden/planted_kernel.py " + golden.subject() + " " +
                              folder_.string();
  ASSERT_EQ(std::system(command.c_str()), 0);
  const auto candidate = [&](const std::string& bug) {
    return cases::TensorSource::open(folder_ / (bug + ".npy"));
  };
  ASSERT_TRUE(check(golden, *candidate("none")).passed) << "the kernel is right without a bug";
  int caught = 0, named = 0;
  for (const Bug& bug : kBugs) {
    caught += !check(golden, *candidate(bug.planted)).passed;
    const Diagnosis diagnosis = diagnose(golden, *candidate(bug.planted), {.reported = 100});
    const bool found = diagnosis.explained && rank_of(diagnosis, bug.named) == 1;
    named += found;
    if (!found)
      std::cout << bug.planted << " is not named:\n"
                << to_text(diagnosis, "golden", "candidate").substr(0, 3000);
  }
  std::cout << caught << " caught, " << named << " named\n";
  EXPECT_EQ(caught, kCaught);
  EXPECT_EQ(named, kNamed);
}

}  // namespace
}  // namespace karat::golden
