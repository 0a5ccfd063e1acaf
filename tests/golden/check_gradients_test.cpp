// Gradients judged: golden ones match, legal kernels match, every planted mistake does not.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "diagnose_case.hpp"
#include "karat/attention/backward.hpp"
#include "karat/case/backward.hpp"
#include "karat/case/stages.hpp"
#include "karat/golden/check_report.hpp"
#include "karat/golden/export.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/recipe/effect.hpp"

namespace karat::golden {
namespace {

constexpr std::size_t kChannels = 32, kHeads = 2;
using Change = std::function<void(files::Tensors&)>;

/// The gradients of the golden case under another recipe, or by a kernel that errs.
struct Kernel {
  std::function<void(recipe::Recipe&)> edit = [](recipe::Recipe&) {};
  attention::BackwardErrors errors = {};
  bool taps = false;
};

class CheckGradients : public testing::Test, protected DiagnoseCase {
 protected:
  GoldenFile made(const recipe::Recipe& recipe, std::size_t kv_heads = kHeads,
                  video::Extent3 grid = {3, 4, 8}) {
    make(cases::make_case(
             recipe, cases::generated_inputs({.grid = grid, .heads = kHeads, .head_dim = kChannels},
                                             0, kv_heads)),
         {.threads = 2, .passes = Passes::forward_and_backward}, folder_ / "g.h5");
    return GoldenFile(folder_ / "g.h5");
  }

  static files::Tensors gradients(const GoldenFile& golden, const Kernel& kernel) {
    cases::Case of = golden.opened_case();
    kernel.edit(of.recipe);
    files::Tensors all;
    cases::BackwardRun run(of, 2);
    const cases::HeadLoop loop{.threads = 2, .needs = cases::HeadNeeds::both};
    cases::for_each_head(of, loop, [&](cases::HeadAtWork& work) {
      auto forward = attention::attend(of.recipe, work.layout, work.operands, {.threads = 2});
      run.add(work, std::move(forward.o), std::move(forward.lse));
      if (!run.complete()) return;
      attention::BackwardOptions options{.threads = 2};
      if (kernel.errors.exp2 || kernel.errors.dq_roots != 1 || kernel.errors.dk_roots != 1)
        options.errors = kernel.errors;
      if (kernel.taps) {
        options.tapped_queries = golden.dq_tapped(0, 0);
        options.tapped_keys = golden.dkv_tapped(0, 0);
      }
      const auto result = run.run(work.layout, options);
      const std::size_t group = of.shape().group();
      const files::Shape matrix{of.shape().tokens(), kChannels};
      const auto put = [&](const char* name, std::size_t heads, const std::vector<float>& x,
                           numerics::FormatId format, files::Shape shape) {
        cases::append_head(all, name, 1, heads, cases::encoded(x, format, std::move(shape)));
      };
      for (std::size_t h = 0; h < group; ++h) {
        put("dq", kHeads, result.dq[h], of.recipe.backward.output, matrix);
        put("delta", kHeads, result.delta[h], numerics::FormatId::f32, {of.shape().tokens()});
      }
      put("dk", kHeads / group, result.dk, of.recipe.backward.output, matrix);
      put("dv", kHeads / group, result.dv, of.recipe.backward.output, matrix);
      cases::add_backward_taps(all, of.recipe, work.layout,
                               {.batch = 0, .kv_head = work.head / group, .group = group}, result);
    });
    return all;
  }
  CheckReport compared(const GoldenFile& golden, const files::Tensors& candidate,
                       const CheckOptions& options = {}) {
    files::write_safetensors(folder_ / "c.safetensors", candidate);
    return check(golden, *cases::TensorSource::open(folder_ / "c.safetensors"), options);
  }
  static const StageReport& stage(const CheckReport& report, std::string_view name) {
    const auto found = std::ranges::find(report.stages, name, &StageReport::stage);
    if (found == report.stages.end()) throw Error(ErrorKind::internal, std::string(name), "no row");
    return *found;
  }
};

/// An exp2 within 2 ulp that is none of the checker's.
float another_exp2(float x, float p) {
  if (!(p > 0) || x == 0) return p;
  const std::uint32_t h = std::bit_cast<std::uint32_t>(x) * 2246822519u;
  return p + static_cast<float>(static_cast<int>(h >> 20) % 3 - 1) *
                 std::ldexp(1.0f, std::ilogb(p) - 23);
}

TEST_F(CheckGradients, TheGoldenFileMatchesItself) {
  const GoldenFile golden = made(small("fps_qat_fp8"));
  const CheckReport report = check(golden, *cases::TensorSource::open(folder_ / "g.h5"));
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.verdict, Verdict::equal);
  for (const char* name :
       {"do", "o_unquantised_p", "delta", "dv", "dk", "dq", "backward s", "backward p",
        "backward p_codes", "dp", "ds", "ds_codes", "dq by block", "dk by block", "dv by block"})
    EXPECT_EQ(stage(report, name).verdict, Verdict::equal) << name;
  ASSERT_EQ(report.gradients.size(), 3u);
  for (const GradientError& error : report.gradients) {
    EXPECT_EQ(error.rows, static_cast<std::int64_t>(kHeads * golden.shape().rows));
    EXPECT_EQ(error.golden.error, error.candidate.error);
    EXPECT_GT(error.golden.cosine(error.truth), 0.98) << error.stage;
  }
}

TEST_F(CheckGradients, LegalKernelsRaiseNoAlarm) {
  for (const std::string_view preset : recipe::preset_names()) {
    if (!recipe::preset(preset).backward.exists()) continue;
    const GoldenFile golden = made(small(preset), kHeads, {2, 4, 5});
    for (const Kernel& kernel :
         {Kernel{.errors = {.exp2 = another_exp2}, .taps = true},
          Kernel{.edit = [](recipe::Recipe& r) { r.softmax.exp2 = recipe::Exp2::rounded; }},
          Kernel{.edit = [](recipe::Recipe& r) { r.softmax.exp2 = recipe::Exp2::mufu_floor; }}}) {
      const CheckReport report = compared(golden, gradients(golden, kernel));
      for (const StageReport& each : report.stages)
        EXPECT_LE(each.verdict, Verdict::within)
            << preset << " " << each.stage << " "
            << (each.doubts.empty() ? 0 : each.doubts[0].found) << " of "
            << (each.doubts.empty() ? 0 : each.doubts[0].allowed);
    }
    EXPECT_EQ(compared(golden, gradients(golden, {})).verdict, Verdict::equal);
  }
}

TEST_F(CheckGradients, AnOrderOfDqIsFreeOnlyWhereItIsAllowed) {
  recipe::Recipe recipe = small("fa3_bf16");
  ASSERT_EQ(recipe.backward.loop, recipe::BackwardLoop::key_blocks);
  recipe.softmax.exp2 = recipe::Exp2::exact;  // nothing else is free
  recipe.backward.output = numerics::FormatId::f32;
  recipe.backward.block_k = 16;
  const GoldenFile golden = made(recipe);
  const auto ordered = [](recipe::BlockOrder order) {
    return Kernel{.edit = [order](recipe::Recipe& r) { r.backward.key_order = order; }};
  };
  const auto other = recipe.backward.key_order == recipe::BlockOrder::descending
                         ? recipe::BlockOrder::ascending
                         : recipe::BlockOrder::descending;
  const files::Tensors candidate = gradients(golden, ordered(other));
  const CheckReport strict = compared(golden, candidate);
  EXPECT_EQ(stage(strict, "dq").verdict, Verdict::differs);
  EXPECT_TRUE(stage(strict, "dq").fixed);
  EXPECT_EQ(stage(strict, "dk").verdict, Verdict::equal);
  CheckOptions allowed;
  allowed.allowed.summation = bounds::Summation::any_order;
  EXPECT_TRUE(compared(golden, candidate, allowed).passed);
  // Of dV and dK the order stays the kernel's; where it is allowed in the forward, what another one
  // does to them hides in what a free lse does.
  const files::Tensors turned = gradients(golden, Kernel{.edit = [](recipe::Recipe& r) {
                                            r.backward.query_order = recipe::BlockOrder::descending;
                                          }});
  const CheckReport dk = compared(golden, turned);
  EXPECT_EQ(stage(dk, "dk").verdict, Verdict::differs);
  EXPECT_EQ(stage(dk, "dv").verdict, Verdict::differs);
  EXPECT_FALSE(stage(compared(golden, turned, allowed), "dk").fixed);
  // Of a tapped dQ the last turn is judged; the turns before it hold other key blocks.
  files::Tensors tapped = gradients(golden, Kernel{.taps = true});
  EXPECT_TRUE(compared(golden, tapped, allowed).passed);
  for (auto& [name, tensor] : tapped)
    if (name.starts_with("dq_tap") && name.ends_with("dq")) {
      std::vector<float> values(tensor.as<float>().begin(), tensor.as<float>().end());
      for (float& value : values) value *= 1.3f;
      tensor = cases::encoded(values, numerics::FormatId::f32, tensor.shape);
    }
  EXPECT_EQ(stage(compared(golden, tapped, allowed), "dq by block").verdict, Verdict::differs);
}

TEST_F(CheckGradients, AnotherOrderOfDqIsNoAlarmWhereItIsAllowed) {
  CheckOptions allowed;
  allowed.allowed.summation = bounds::Summation::any_order;
  for (const std::string_view preset : recipe::preset_names()) {
    recipe::Recipe recipe = small(preset);
    if (recipe.backward.loop != recipe::BackwardLoop::key_blocks) continue;
    recipe.backward.block_k = 16;
    const GoldenFile golden = made(recipe, 1, {2, 4, 5});
    const auto other = recipe.backward.key_order == recipe::BlockOrder::descending
                           ? recipe::BlockOrder::ascending
                           : recipe::BlockOrder::descending;
    const files::Tensors candidate = gradients(
        golden, Kernel{.edit = [other](recipe::Recipe& r) { r.backward.key_order = other; }});
    EXPECT_TRUE(compared(golden, candidate, allowed).passed) << preset;
  }
}

// Another order of the forward's row sums moves lse, and so P, dS and the gradients: a match where
// it is allowed, different bits where not.
TEST_F(CheckGradients, TheForwardsFreedomReachesTheGradients) {
  recipe::Recipe recipe = small("fps_ste_bf16");
  recipe.softmax.exp2 = recipe::Exp2::exact;
  recipe.backward.output = numerics::FormatId::f32;
  recipe.backward.p = {.format = numerics::FormatId::f32};
  recipe.backward.dv = "f32.fma";
  recipe::reset_without_effect(recipe);
  const GoldenFile golden = made(recipe, 1, {2, 4, 5});
  const files::Tensors candidate =
      gradients(golden, Kernel{.edit =
                                   [](recipe::Recipe& r) {
                                     r.softmax.row_sum_order = recipe::RowSumOrder::sequential;
                                   },
                               .taps = true});
  const CheckReport strict = compared(golden, candidate);
  EXPECT_EQ(stage(strict, "dv").verdict, Verdict::differs);
  EXPECT_EQ(stage(strict, "backward p").verdict, Verdict::differs);
  CheckOptions allowed;
  allowed.allowed.summation = bounds::Summation::any_order;
  const CheckReport report = compared(golden, candidate, allowed);
  for (const StageReport& each : report.stages)
    EXPECT_LE(each.verdict, Verdict::within)
        << each.stage << (each.doubts.empty() ? "" : doubt_text(each.doubts[0]));
}

// The order of delta is open on every page, so that --allow order covers it.
TEST_F(CheckGradients, TheOrderOfDeltaIsFreeWhereItIsAllowed) {
  const GoldenFile golden = made(small("fps_ste_bf16"), 1, {2, 4, 5});
  ASSERT_NE(golden.recipe().backward.delta_sum, recipe::DeltaSum::pairwise);
  const files::Tensors candidate = gradients(golden, Kernel{.edit = [](recipe::Recipe& r) {
                                               r.backward.delta_sum = recipe::DeltaSum::pairwise;
                                             }});
  EXPECT_FALSE(compared(golden, candidate).passed);
  CheckOptions allowed;
  allowed.allowed.summation = bounds::Summation::any_order;
  const CheckReport report = compared(golden, candidate, allowed);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(stage(report, "delta").verdict, Verdict::within);
}

// What says where a tap's values stand must be what the golden file says.
TEST_F(CheckGradients, LabelsOfTapsAreCompared) {
  const GoldenFile golden = made(small("fps_ste_bf16"), 1, {2, 4, 5});
  files::Tensors candidate = gradients(golden, Kernel{.taps = true});
  EXPECT_TRUE(compared(golden, candidate).passed);
  for (auto& [name, tensor] : candidate)
    if (name.ends_with("query_block")) tensor.as<std::int32_t>()[0] += 1;
  EXPECT_THROW(compared(golden, candidate), Error);
}

TEST_F(CheckGradients, PlantedMistakesAreNoMatch) {
  const GoldenFile golden = made(small("fps_qat_fp8"), 1, {2, 4, 8});
  const files::Tensors right = gradients(golden, {});
  const auto refuses = [&](const char* what, const files::Tensors& candidate, Verdict least) {
    const CheckReport report = compared(golden, candidate);
    EXPECT_GE(report.verdict, least) << what;
    EXPECT_FALSE(report.passed) << what;
  };
  const auto changed = [&](const char* name, const std::function<float(std::size_t, float)>& f) {
    files::Tensors candidate = right;
    files::Tensor& tensor = candidate[name];
    std::vector<float> values(tensor.bytes.size() / 2);
    numerics::decode(tensor.as<std::uint16_t>(), values, numerics::FormatId::bf16);
    for (std::size_t e = 0; e < values.size(); ++e) values[e] = f(e, values[e]);
    tensor = cases::encoded(values, numerics::FormatId::bf16, tensor.shape);
    return candidate;
  };
  const auto noise = [](double size) {
    return [size](std::size_t e, float x) {
      const double u = static_cast<double>((e * 2654435761u >> 16) % 1000) / 500 - 1;
      return static_cast<float>(x * (1 + size * u));
    };
  };
  for (const char* name : {"dq", "dk", "dv"}) {
    refuses(name, changed(name, noise(0.02)), Verdict::undecided);
    refuses(name, changed(name, [](std::size_t, float x) { return x * 1.05f; }),
            Verdict::undecided);
  }
  {
    const char* name = "dk";
    refuses(name, changed(name, [](std::size_t, float x) { return -x; }), Verdict::differs);
    refuses(name, changed(name, [](std::size_t, float) { return 0.0f; }), Verdict::differs);
    refuses(name,
            changed(name, [](std::size_t e, float x) { return e / kChannels == 7 ? 0.0f : x; }),
            Verdict::differs);
    refuses(name,
            changed(name,
                    [](std::size_t e, float x) {
                      return e == 5 * kChannels ? std::numeric_limits<float>::quiet_NaN() : x;
                    }),
            Verdict::differs);
  }
  files::Tensors swapped = right;
  std::swap(swapped["dk"], swapped["dv"]);
  refuses("dk and dv exchanged", swapped, Verdict::differs);
  const auto edited = [&](const char* what, const std::function<void(recipe::Recipe&)>& edit,
                          Verdict least) {
    refuses(what, gradients(golden, {.edit = edit}), least);
  };
  edited(
      "delta of the stored output",
      [](recipe::Recipe& r) { r.backward.delta = recipe::Delta::output; }, Verdict::undecided);
  edited(
      "P not coded in dV",
      [](recipe::Recipe& r) { r.backward.p = {.format = numerics::FormatId::bf16}; },
      Verdict::undecided);
  edited(
      "dO without its scale of d^-1/2", [](recipe::Recipe& r) { r.backward.dq_multiplier = 2; },
      Verdict::differs);
  for (const auto& [dq, dk] : {std::pair{0, 1}, {2, 1}, {1, 0}, {1, 2}})
    refuses("softmax scale", gradients(golden, {.errors = {.dq_roots = dq, .dk_roots = dk}}),
            Verdict::differs);
}

// What is stored is the gradient times its multiplier: the truth is multiplied too, or golden
// errors of a thousand times the gradient would let everything pass the gate.
TEST_F(CheckGradients, ErrorsCountWhatIsStored) {
  recipe::Recipe recipe = small("cudnn_fp8_hopper");
  const auto relative = [](const GradientError& of) {
    return std::sqrt(of.golden.error / of.truth);
  };
  std::vector<GradientError> plain;
  for (const float more : {1.0f, 1024.0f}) {
    // A format without saturation, which multipliers would move.
    recipe.backward.output = numerics::FormatId::f32;
    recipe.backward.dq_multiplier = recipe.backward.dk_multiplier = more;
    recipe.backward.dv_multiplier = 4 * more;
    const GoldenFile golden = made(recipe, 1, {2, 4, 5});
    const CheckReport report = compared(golden, gradients(golden, {}));
    ASSERT_EQ(report.gradients.size(), 3u);
    if (plain.empty()) plain = report.gradients;
    for (std::size_t g = 0; g < plain.size(); ++g) {
      EXPECT_NEAR(relative(report.gradients[g]), relative(plain[g]), 1e-6) << plain[g].stage;
    }
  }
}

// A selected query block is all that is judged of dq and delta; dk and dv of a key block sum over
// all queries and stay out, as do their taps. A head of a group has its part in those.
TEST_F(CheckGradients, ASelectedQueryBlockIsAllThatIsJudged) {
  const GoldenFile golden = made(small("fps_ste_bf16"), 1);
  const files::Tensors right = gradients(golden, Kernel{.taps = true});
  const layout::Layout& layout = golden.layout(0, 0);
  const auto with_wrong = [&](const char* name, int block) {
    files::Tensors candidate = right;
    const video::Range range = layout.blocks.query_blocks[block];
    const std::int32_t token = layout.order.token_at[range.begin];
    files::Tensor& tensor = candidate[name];
    tensor.as<std::uint16_t>()[token * kChannels] ^= 0x4000;
    return candidate;
  };
  CheckOptions only;
  only.select.block = 1;
  const CheckReport report = compared(golden, with_wrong("dq", 0), only);
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(stage(report, "dq").compared,
            static_cast<std::int64_t>(kHeads * kChannels) * layout.blocks.query_blocks[1].size());
  for (const StageReport& each : report.stages) {
    EXPECT_NE(each.stage, "dk");
    EXPECT_NE(each.stage, "dv by block");
  }
  EXPECT_FALSE(compared(golden, with_wrong("dq", 1), only).passed);
  EXPECT_FALSE(compared(golden, with_wrong("dq", 0)).passed);
  files::Tensors sums;  // nothing else
  sums["dk"] = right.at("dk");
  EXPECT_THROW(compared(golden, sums, only), Error);
  CheckOptions second;
  second.select.head = 1;
  const CheckReport of_head = compared(golden, right, second);
  EXPECT_GT(stage(of_head, "dv by block").compared, 0);
  EXPECT_THROW(stage(of_head, "dq by block"), Error);  // the tap is of head 0
}

// A candidate of gradients alone has nothing in common with a forward's file.
TEST_F(CheckGradients, AForwardFileHasNoGradientsToCompare) {
  const GoldenFile golden = made(small("fps_ste_bf16"));
  const files::Tensors candidate = gradients(golden, {});
  make(golden.opened_case(), {.threads = 2}, folder_ / "f.h5");
  EXPECT_THROW(compared(GoldenFile(folder_ / "f.h5"), candidate), Error);
}

TEST_F(CheckGradients, HeadsThatShareKAndVAreComparedOnce) {
  const GoldenFile golden = made(small("fps_ste_bf16"), 1);
  const CheckReport report = compared(golden, gradients(golden, {}));
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(stage(report, "dk").compared,
            static_cast<std::int64_t>(golden.shape().rows * kChannels));
  EXPECT_EQ(stage(report, "dq").compared,
            static_cast<std::int64_t>(kHeads * golden.shape().rows * kChannels));
}

}  // namespace
}  // namespace karat::golden
