// Planted mistakes of backward kernels are named first. Candidates are run by the engine, head by
// head; diagnosis recomputes sampled blocks.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "diagnose/hypothesis.hpp"
#include "diagnose_case.hpp"
#include "karat/golden/check_report.hpp"
#include "planted_gradients.hpp"

namespace karat::golden {
namespace {

using Where = PlantedGradient::Where;

class DiagnoseGradients : public testing::Test, protected DiagnoseCase {
 protected:
  GoldenFile made(recipe::Recipe recipe, video::Extent3 grid = {2, 8, 8}) {
    make(cases::make_case(std::move(recipe),
                          cases::generated_inputs({.grid = grid, .heads = 1, .head_dim = 32}, 0)),
         {.taps = "none", .threads = 2, .passes = Passes::forward_and_backward}, folder_ / "g.h5");
    return GoldenFile(folder_ / "g.h5");
  }
  GoldenFile made(const PlantedGradient& planted) {
    recipe::Recipe recipe = small_backward(planted.preset);
    if (planted.golden) planted.golden(recipe);
    return made(std::move(recipe),
                planted.ragged ? video::Extent3{3, 5, 7} : video::Extent3{2, 8, 8});
  }
  std::unique_ptr<cases::TensorSource> candidate(const GoldenFile& golden,
                                                 const PlantedGradient& planted) {
    files::write_safetensors(folder_ / "c.safetensors", gradients_with(golden, planted));
    return cases::TensorSource::open(folder_ / "c.safetensors");
  }
  static bool names(const Explanation& e, const std::string& wanted) {
    const auto is = [&](std::string told) {
      std::erase(told, '"');
      return told.starts_with(wanted);
    };
    return is(to_text(e)) || std::ranges::any_of(e.same_bits, is) ||
           std::ranges::any_of(e.as_good, is);
  }
};

std::string_view where_name(Where where) {
  constexpr std::string_view kNames[] = {"seen in the field", "S", "dV", "dP", "dQ", "dK", "other"};
  return kNames[static_cast<int>(where)];
}

// Ordinary runs take every third; KARAT_LONG=1 all, and writes the table of docs/diagnose.md to
// KARAT_GRADIENT_FAULTS.
TEST_F(DiagnoseGradients, PlantedMistakesAreNamedFirst) {
  const bool all = std::getenv("KARAT_LONG") != nullptr;
  std::ofstream table;
  if (const char* file = std::getenv("KARAT_GRADIENT_FAULTS")) table.open(file);
  table << "| one of | mistake | preset | check says | named |\n|---|---|---|---|---|\n";
  int visible = 0, first = 0;
  std::string missed;
  const auto& list = planted_gradients();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const PlantedGradient& mistake = list[i];
    if (!all && i % 3 != 0) continue;
    const GoldenFile golden = made(mistake);
    const auto source = candidate(golden, mistake);
    const Diagnosis diagnosis = diagnose(golden, *source, {.alarm = Alarm::any_bit, .threads = 2});
    table << "| " << where_name(mistake.where) << " | " << mistake.name << " | " << mistake.preset
          << " | " << verdict_name(check(golden, *source, {.threads = 2}).verdict) << " | ";
    if (diagnosis.matches) {
      missed += "invisible: " + mistake.name + "\n";
      table << "no bit changes |" << std::endl;
      continue;
    }
    ++visible;
    const bool named = diagnosis.explained && names(diagnosis.hypotheses.front(), mistake.name);
    first += named;
    const std::string told =
        diagnosis.hypotheses.empty() ? "nothing" : to_text(diagnosis.hypotheses.front());
    table << (named ? "first" : told) << " |" << std::endl;
    if (!named) missed += mistake.name + " (" + mistake.preset + "): " + told + "\n";
  }
  std::cout << first << " of " << visible << " visible mistakes are named first\n" << missed;
  EXPECT_GE(visible, all ? 20 : 10) << missed;
  EXPECT_GE(first, 0.9 * visible) << missed;
}

// Where exp2 is another legal one nothing is wrong, and nothing is said to be.
TEST_F(DiagnoseGradients, LegalKernelsHaveNoName) {
  for (const std::string& preset : {std::string("fps_qat_fp8"), std::string("cudnn_fp8_hopper")}) {
    const GoldenFile golden = made(small_backward(preset), {1, 8, 8});
    PlantedGradient legal;
    legal.errors.exp2 = [](float x, float p) {
      return p > 0 && x != 0 ? another_exp2(7)(x, p) : p;
    };
    const Diagnosis diagnosis = diagnose(golden, *candidate(golden, legal), {.threads = 2});
    EXPECT_TRUE(diagnosis.matches) << preset;
    EXPECT_TRUE(diagnosis.hypotheses.empty()) << preset;
  }
}

TEST_F(DiagnoseGradients, RightGradientsAndNoiseHaveNoName) {
  const GoldenFile golden = made(small_backward("fps_qat_fp8"));
  EXPECT_TRUE(diagnose(golden, *candidate(golden, {}), {.alarm = Alarm::any_bit}).matches);
  files::Tensors noisy = files::read_safetensors(folder_ / "c.safetensors").tensors;
  const auto dq = noisy["dq"].as<float>();
  for (std::size_t e = 0; e < dq.size(); ++e)
    dq[e] *=
        1 + 0.05f * static_cast<float>(static_cast<int>(e * 2654435761u >> 16) % 100 - 50) / 50;
  files::write_safetensors(folder_ / "n.safetensors", noisy);
  const Diagnosis diagnosis =
      diagnose(golden, *cases::TensorSource::open(folder_ / "n.safetensors"));
  EXPECT_FALSE(diagnosis.matches);
  EXPECT_FALSE(diagnosis.explained);
}

// A wrong forward is diagnosed first, whatever its gradients are.
TEST_F(DiagnoseGradients, BackwardEditsAreNotTriedOnAForward) {
  for (const Hypothesis& hypothesis : recipe_edits(recipe::preset("fps_qat_fp8")))
    for (const FieldEdit& edit : hypothesis.edits)
      EXPECT_FALSE(edit.field.starts_with("backward.")) << edit.field;
  EXPECT_TRUE(recipe_edits(recipe::preset("fpsattention"), Pass::backward).empty());
  EXPECT_GT(recipe_edits(recipe::preset("fps_qat_fp8"), Pass::backward).size(), 40u);
}

}  // namespace
}  // namespace karat::golden
