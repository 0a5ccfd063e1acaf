// Own CUDA kernels with the softmax steps of FlashAttention-3's FP8 and SageAttention2's sm90
// kernels (tests/data/kernels), compiled, against the presets.
#include <filesystem>

#include "karat/attention/operations/kernel.hpp"
#include "karat/files/paths.hpp"
#include "karat/recipe/json.hpp"
#include "kernel_case.hpp"
#include "removals.hpp"
#include "schedules.hpp"

namespace karat::kernels {
namespace {

using files::DType;
using namespace recipe;

constexpr std::size_t kChannels = 64, kQueries = 64;

/// Tokens that leave a short last block of 128 and of 224 keys.
constexpr std::size_t kTokens = 500;

struct Head {
  layout::Layout layout;
  attention::QuantisedHead operands;
};

Head make_head(const Recipe& recipe, unsigned seed) {
  Head head{layout::make_layout(recipe, {1, 20, 25}, kChannels), {}};
  const Values values = random_values(kTokens, kChannels, seed);
  head.operands =
      attention::quantise_head(recipe, head.layout, values.input(), numerics::Path::fast);
  return head;
}

/// What both kernels write: outputs in FP32, maxima and row sums.
struct Rows {
  std::vector<float> out, m, l;
};

std::size_t count_differing(const Rows& a, const Rows& b) {
  return kernels::count_differing(a.out, b.out) + kernels::count_differing(a.m, b.m) +
         kernels::count_differing(a.l, b.l);
}

Rows attend(const Recipe& recipe, const Head& head) {
  const auto result = attention::attend(recipe, head.layout, head.operands);
  return {result.o, result.m, result.l};
}

ptx::Launch launch_of(const char* file, const Head& head, ptx::Fuse fuse) {
  const auto path = std::filesystem::path(KARAT_SOURCE_DIR) / "tests/data/kernels" / file;
  ptx::Launch launch{.ptx = files::read_text(path), .file = file};
  launch.grid = {(kTokens + kQueries - 1) / kQueries, 1, 1};
  launch.block = {128, 1, 1};
  launch.fuse = fuse;
  const auto& q = head.operands.q;
  const auto& k = head.operands.k;
  const auto& v = head.operands.v;
  const bool integers = q.format == numerics::FormatId::int8;
  const DType type = integers ? DType::i8 : DType::f8_e4m3;
  const auto codes = [&](const std::vector<std::uint8_t>& bytes, files::Shape shape, DType as) {
    return files::make_tensor(as, std::move(shape), std::as_bytes(std::span(bytes)));
  };
  launch.tensors["q"] = {codes(q.codes, {kTokens, kChannels}, type)};
  launch.tensors["k"] = {codes(k.codes, {kTokens, kChannels}, type)};
  launch.tensors["vt"] = {
      codes(transposed(v.codes, kChannels), {kChannels, kTokens}, DType::f8_e4m3)};
  launch.tensors["out"] = {files::make_tensor(DType::f32, {kTokens, kChannels}), true};
  launch.tensors["m"] = {files::make_tensor(DType::f32, {kTokens}), true};
  launch.tensors["l"] = {files::make_tensor(DType::f32, {kTokens}), true};
  for (const char* name : {"q", "k", "vt"}) launch.arguments.push_back(ptx::PointerArgument{name});
  return launch;
}

Rows rows_of(ptx::Launch launch) {
  launch.schedule = ptx::Schedule::late;
  const ptx::Outcome late = ptx::run(launch);
  launch.schedule = ptx::Schedule::eager;
  launch.hazards = ptx::HazardSearch::on;
  const ptx::Outcome outcome = ptx::run(std::move(launch));
  EXPECT_EQ(outcome.outputs, late.outputs);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  EXPECT_EQ(outcome.hazards, std::vector<std::string>{});
  const auto of = [&](const char* name) {
    const auto values = outcome.outputs.at(name).as<float>();
    return std::vector<float>(values.begin(), values.end());
  };
  return {of("out"), of("m"), of("l")};
}

ptx::Launch fa3_launch(const char* file, const Recipe& recipe, const Head& head, ptx::Fuse fuse) {
  ptx::Launch launch = launch_of(file, head, fuse);
  for (const char* name : {"out", "m", "l"}) launch.arguments.push_back(ptx::PointerArgument{name});
  const attention::Kernel kernel(recipe, kChannels);
  launch.arguments.push_back(scalar(static_cast<std::uint32_t>(kTokens)));
  launch.arguments.push_back(
      scalar(kernel.factor(head.operands.q.scale(0, 0), head.operands.k.scale(0, 0))));
  launch.arguments.push_back(scalar(head.operands.v.scale(0, 0)));
  return launch;
}

Rows run_fa3(const char* file, const Recipe& recipe, const Head& head, ptx::Fuse fuse) {
  Rows rows = rows_of(fa3_launch(file, recipe, head, fuse));
  rows.out = to_bf16(rows.out);
  return rows;
}

ptx::Launch sage_launch(const Head& head) {
  ptx::Launch launch = launch_of("sage_fold.ptx", head, ptx::Fuse::ptxas);
  for (const auto& [name, operand] :
       {std::pair{"q_scale", &head.operands.q}, std::pair{"k_scale", &head.operands.k}}) {
    std::vector<float> scales;
    for (std::size_t token = 0; token < kTokens; ++token)
      scales.push_back(operand->scale(token, 0));
    launch.tensors[name] = {files::make_tensor(DType::f32, {kTokens}, scales)};
    launch.arguments.push_back(ptx::PointerArgument{name});
  }
  for (const char* name : {"out", "m", "l"}) launch.arguments.push_back(ptx::PointerArgument{name});
  launch.arguments.push_back(scalar(static_cast<std::uint32_t>(kTokens)));
  launch.arguments.push_back(scalar(attention::Kernel(recipe::preset("sage2_sm90"), kChannels).c));
  return launch;
}

Rows run_sage(const Head& head) {
  Rows rows = rows_of(sage_launch(head));
  for (std::size_t e = 0; e < rows.out.size(); ++e)
    rows.out[e] *= head.operands.v.scale(0, e % kChannels);
  rows.out = to_bf16(rows.out);
  return rows;
}

void expect_each_edit_shows(const Recipe& recipe, const Head& head, const Rows& kernel,
                            const std::vector<Edit>& edits) {
  for (const Edit& edit : edits) {
    Recipe other = recipe;
    edit.apply(other);
    EXPECT_GT(count_differing(attend(other, head), kernel), 0u) << edit.name;
  }
}

const std::vector<Edit>& unfused() {
  static const std::vector<Edit> list = {
      {"offset_enters", [](Recipe& r) { r.p.offset_enters = OffsetEnters::separate; }},
      {"row_sum_start", [](Recipe& r) { r.softmax.row_sum_start = RowSumStart::separate; }}};
  return list;
}

TEST(CudaKernels, FlashAttention3sStepIsThePreset) {
  const Recipe recipe = preset("fa3_fp8");
  const Head head = make_head(recipe, 3);
  const Rows kernel = run_fa3("fa3_step.ptx", recipe, head, ptx::Fuse::ptxas);
  EXPECT_EQ(count_differing(kernel, attend(recipe, head)), 0u);
  expect_each_edit_shows(recipe, head, kernel, unfused());
  // What the assembler joins beside what the compiler has joined: a product and a subtraction a
  // score.
  EXPECT_GT(count_differing(run_fa3("fa3_step.ptx", recipe, head, ptx::Fuse::none), kernel), 0u);
}

TEST(CudaKernels, ItsLazyRescaleIsThePreset) {
  const Recipe recipe = preset("fa3_fp8_lazy_rescale");
  const Head head = make_head(recipe, 4);
  const Rows kernel = run_fa3("fa3_step_lazy.ptx", recipe, head, ptx::Fuse::ptxas);
  EXPECT_EQ(count_differing(kernel, attend(recipe, head)), 0u);
  expect_each_edit_shows(recipe, head, kernel, unfused());
  expect_each_edit_shows(
      recipe, head, kernel,
      {{"rescale_threshold", [](Recipe& r) { r.softmax.rescale_threshold = 0; }}});
}

TEST(CudaKernels, SageAttention2sFoldedScalesAreThePreset) {
  const Recipe recipe = preset("sage2_sm90");
  const Head head = make_head(recipe, 5);
  const Rows kernel = run_sage(head);
  EXPECT_EQ(count_differing(kernel, attend(recipe, head)), 0u);
  expect_each_edit_shows(
      recipe, head, kernel,
      {{"scale_order", [](Recipe& r) { r.qk.scale_order = ScaleOrder::product_first; }},
       {"exponent",
        [](Recipe& r) {
          r.qk.scale_order = ScaleOrder::scaled_then_fused;
          r.softmax.exponent = Exponent::scores;
          r.p.offset_enters = OffsetEnters::separate;
        }},
       {"offset_enters", [](Recipe& r) { r.p.offset_enters = OffsetEnters::separate; }}});
}

/// A CTA of each kernel, with one synchronisation after the other taken out.
TEST(CudaKernels, EachSynchronisationThatIsRemovedIsNoticed) {
  const auto expect_noticed = [](ptx::Launch launch, std::vector<ptx::Unnoticed> unnoticed) {
    launch.grid = {1, 1, 1};
    launch.limit = 3'000'000;
    const ptx::Search search =
        ptx::search_removals(std::move(launch), unnoticed, ptx::long_tests() ? 1 : 7);
    EXPECT_EQ(search.wrong, "");
    if (ptx::long_tests()) {
      EXPECT_GE(search.share(), 0.9);
    }
  };
  constexpr const char* kWholeGroup =
      "what is written next only wgmmas have read, and a wait for a group is for all four warps'";
  constexpr const char* kSameProxyFence = "both stages are written before the fence of line 811";
  const auto fa3 = [&](const char* file, const char* name, std::size_t second_fence) {
    const Recipe recipe = preset(name);
    expect_noticed(fa3_launch(file, recipe, make_head(recipe, 3), ptx::Fuse::ptxas),
                   {{288, kWholeGroup}, {second_fence, kSameProxyFence}});
  };
  fa3("fa3_step.ptx", "fa3_fp8", 2662);
  fa3("fa3_step_lazy.ptx", "fa3_fp8_lazy_rescale", 2670);
  expect_noticed(sage_launch(make_head(preset("sage2_sm90"), 5)), {{377, kWholeGroup}});
}

/// As in Synchronisation: no report and the same bits whoever goes first.
TEST(CudaKernels, IntactTheyGiveNoReportAndTheSameBitsUnderEverySchedule) {
  const Recipe fa3 = preset("fa3_fp8"), lazy = preset("fa3_fp8_lazy_rescale");
  for (ptx::Launch launch :
       {fa3_launch("fa3_step.ptx", fa3, make_head(fa3, 3), ptx::Fuse::ptxas),
        fa3_launch("fa3_step_lazy.ptx", lazy, make_head(lazy, 3), ptx::Fuse::ptxas),
        sage_launch(make_head(preset("sage2_sm90"), 5))}) {
    launch.grid = {2, 1, 1};
    const ptx::Outcome plain = ptx::run(launch);
    expect_clean_runs(
        launch, [&](const ptx::Outcome& watched) { EXPECT_EQ(watched.outputs, plain.outputs); });
  }
}

}  // namespace
}  // namespace karat::kernels
