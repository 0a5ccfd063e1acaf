// Planted mistakes of backward kernels are named first. Candidates are run by the engine, head by
// head; diagnosis recomputes sampled blocks. The list was fixed before it was measured.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "diagnose/hypothesis.hpp"
#include "diagnose_case.hpp"
#include "karat/attention/attend.hpp"
#include "karat/case/backward.hpp"
#include "karat/case/stages.hpp"
#include "karat/layout/arrangement.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::golden {
namespace {

constexpr std::size_t kChannels = 32, kHeads = 1;

/// What a kernel does otherwise behind a right forward.
struct Planted {
  const char* name;  ///< what diagnosis has to say
  const char* preset;
  std::function<void(recipe::Recipe&)> edit = [](recipe::Recipe&) {};
  attention::BackwardErrors errors = {};
  std::function<void(cases::BackwardRun::Head&, const layout::Layout&)> head = {};
};

std::function<void(recipe::Recipe&)> set(const char* field, recipe::Value value) {
  return [=](recipe::Recipe& r) { r = recipe::edited(r, field, value); };
}

void v_by_token(cases::BackwardRun::Head& head, const layout::Layout& layout) {
  recipe::Recipe recipe = small("fps_qat_fp8");
  recipe.v.group = quant::Group::token;
  const layout::Layout regrouped =
      layout::make_layout(recipe, {.grid = layout.grid, .channels = layout.channels});
  head.operands.v =
      attention::quantise_head(recipe, regrouped, head.values.view(), numerics::Path::scalar).v;
}
void no_delta(cases::BackwardRun::Head& head, const layout::Layout&) {
  std::ranges::fill(head.o_unquantised_p, 0.0f);
  std::ranges::fill(head.o, 0.0f);
}
void multiplier_in_lse(cases::BackwardRun::Head& head, const layout::Layout&) {
  for (float& lse : head.lse) lse += static_cast<float>(std::log(448.0f));
}

const std::vector<Planted>& planted() {
  static const std::vector<Planted> list = {
      // the end of the list of what was seen in the field
      {"backward.delta unquantised_p -> output", "fps_qat_fp8", set("backward.delta", "output")},
      {"softmax.lse natural -> log2", "fps_qat_fp8", set("softmax.lse", "log2")},
      {"softmax scale missing in dq", "fps_qat_fp8", {}, {.dq_roots = 0}},
      {"softmax scale twice in dq", "fps_qat_fp8", {}, {.dq_roots = 2}},
      {"softmax scale missing in dk", "fps_ste_bf16", {}, {.dk_roots = 0}},
      {"softmax scale twice in dq and dk", "fps_ste_bf16", {}, {.dq_roots = 2, .dk_roots = 2}},
      {"backward's v coded by token", "fps_qat_fp8", {}, {}, v_by_token},
      {"delta left out", "fps_qat_fp8", {}, {}, no_delta},
      {"P's multiplier kept in lse", "fps_qat_fp8", {}, {}, multiplier_in_lse},
      {"backward.q dequantised -> input, backward.k dequantised -> input", "fps_ste_bf16",
       [](recipe::Recipe& r) { r.backward.q = r.backward.k = recipe::Source::input; }},
      {"backward.v dequantised -> input", "fps_ste_bf16", set("backward.v", "input")},
      // one wrong operand format in each product
      {"backward.q dequantised -> input", "fps_ste_bf16", set("backward.q", "input")},  // S, dK
      {"backward.k dequantised -> input", "fps_qat_fp8", set("backward.k", "input")},   // dQ
      {"backward.p_format e4m3 -> bf16", "fps_qat_fp8", set("backward.p_format", "bf16")},
      {"backward.ds_format bf16 -> f16", "fps_qat_fp8", set("backward.ds_format", "f16")},
      // one wrong scale in each
      {"backward.softmax_scale end -> ds", "fps_ste_bf16", set("backward.softmax_scale", "ds")},
      {"backward.p_multiplier 448 -> 256", "fps_qat_fp8", set("backward.p_multiplier", 256.0)},
      {"backward.dq_multiplier 1 -> 2", "fps_ste_bf16", set("backward.dq_multiplier", 2.0)},
      {"backward.dv_multiplier 1 -> 0.5", "fps_ste_bf16", set("backward.dv_multiplier", 0.5)},
      // one wrong order in each
      {"backward.query_order ascending -> descending", "fps_qat_fp8",
       set("backward.query_order", "descending")},
      {"backward.key_order ascending -> descending", "fps_qat_fp8",
       set("backward.key_order", "descending")},
      {"backward.promote never -> block", "fps_ste_bf16", set("backward.promote", "block")},
      {"backward.dp", "fps_ste_bf16", set("backward.dp", "f32.fma")},
      {"backward.s", "fps_ste_bf16", set("backward.s", "f32.fma")},
      {"backward.delta_sum sequential -> pairwise", "fps_ste_bf16",
       set("backward.delta_sum", "pairwise")},
      {"backward.output bf16 -> f16", "fps_ste_bf16", set("backward.output", "f16")},
  };
  return list;
}

class DiagnoseGradients : public testing::Test, protected DiagnoseCase {
 protected:
  GoldenFile made(const char* preset) {
    make(cases::make_case(small(preset),
                          cases::generated_inputs(
                              {.grid = {2, 8, 8}, .heads = kHeads, .head_dim = kChannels}, 0)),
         {.taps = "none", .threads = 2, .passes = Passes::forward_and_backward}, folder_ / "g.h5");
    return GoldenFile(folder_ / "g.h5");
  }
  /// delta, dq, dk and dv of a kernel with this mistake.
  std::unique_ptr<cases::TensorSource> candidate(const GoldenFile& golden, const Planted& planted) {
    const cases::Case of = golden.opened_case();
    recipe::Recipe edited = of.recipe;
    if (planted.edit) planted.edit(edited);
    files::Tensors all;
    cases::for_each_head(
        of, {.threads = 2, .needs = cases::HeadNeeds::both}, [&](cases::HeadAtWork& work) {
          cases::BackwardRun::Head head{
              .operands = std::move(work.operands),
              .values = of.inputs->values(work.batch, work.head, 1),
              .o = golden.values("o", cases::Extents::matrix, 0, work.head),
              .lse = golden.values("lse", cases::Extents::vector, 0, work.head),
              .d_o = of.inputs->output_gradient(0, work.head),
              .o_unquantised_p = {}};
          if (golden.has("o_unquantised_p"))
            head.o_unquantised_p =
                golden.values("o_unquantised_p", cases::Extents::matrix, 0, work.head);
          if (planted.head) planted.head(head, work.layout);
          const attention::BackwardHead given{.head = &head.operands,
                                              .input = head.values.view(),
                                              .o = head.o,
                                              .lse = head.lse,
                                              .d_o = head.d_o,
                                              .o_unquantised_p = head.o_unquantised_p};
          attention::BackwardOptions options{.threads = 2};
          if (planted.errors.dq_roots != 1 || planted.errors.dk_roots != 1)
            options.errors = planted.errors;
          const auto made = attention::attend_backward(edited, work.layout, {&given, 1}, options);
          const auto put = [&](const char* name, const std::vector<float>& x, files::Shape shape) {
            cases::append_head(all, name, 1, kHeads,
                               cases::encoded(x, numerics::FormatId::f32, std::move(shape)));
          };
          const files::Shape matrix{of.shape().tokens(), kChannels};
          put("delta", made.delta[0], {of.shape().tokens()});
          put("dq", made.dq[0], matrix);
          put("dk", made.dk, matrix);
          put("dv", made.dv, matrix);
        });
    files::write_safetensors(folder_ / "c.safetensors", all);
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

TEST_F(DiagnoseGradients, PlantedMistakesAreNamedFirst) {
  int visible = 0, first = 0;
  std::string missed;
  for (const Planted& mistake : planted()) {
    const GoldenFile golden = made(mistake.preset);
    const auto source = candidate(golden, mistake);
    const Diagnosis diagnosis = diagnose(golden, *source, {.alarm = Alarm::any_bit, .threads = 2});
    if (diagnosis.matches) {
      missed += std::string("invisible: ") + mistake.name + "\n";
      continue;
    }
    ++visible;
    const bool named = diagnosis.explained && names(diagnosis.hypotheses.front(), mistake.name);
    first += named;
    if (!named)
      missed +=
          std::string(mistake.name) + ": " +
          (diagnosis.hypotheses.empty() ? "no hypothesis" : to_text(diagnosis.hypotheses.front())) +
          "\n";
  }
  RecordProperty("first", first);
  RecordProperty("visible", visible);
  EXPECT_GE(visible, 20) << missed;
  EXPECT_GE(first, 0.9 * visible) << first << " of " << visible << "\n" << missed;
}

TEST_F(DiagnoseGradients, RightGradientsAndNoiseHaveNoName) {
  const GoldenFile golden = made("fps_qat_fp8");
  EXPECT_TRUE(diagnose(golden, *candidate(golden, {"", ""}), {.alarm = Alarm::any_bit}).matches);
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
