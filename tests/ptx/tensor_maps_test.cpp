// Tensor maps as kernels use them: built field by field on the device, and boxes of five dimensions
// loaded, stored and added.
#include <algorithm>
#include <numeric>

#include "kernel.hpp"

namespace karat::ptx {
namespace {

constexpr const char* kShared =
    ".shared .align 128 .b8 image[128];\n.shared .align 128 .b8 tile[128];\n.shared .align 8 .b64 "
    "bar;\n";

/// A load of the box at (4, 3) of a tensor of 5 rows of 10 words, 12 words apart, by a map that the
/// kernel builds in shared memory and copies to byte 1024 of the buffer.
std::string built(const std::string& fields) {
  return "mov.u32 %r1, image; mov.u32 %r2, bar; mov.u32 %r3, tile; setp.eq.u32 %p1, %r0, 0; "
         "add.u64 %rd3, %rd0, 1024; mov.u64 %rd4, 48;\n@!%p1 bra BUILT;\n"
         "tensormap.replace.tile.global_address.shared::cta.b1024.b64 [%r1], %rd0;\n" +
         fields +
         "mbarrier.init.shared.b64 [%r2], 1;\nBUILT: bar.warp.sync -1;\n"
         "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned "
         "[%rd3], [%r1], 128;\n"
         "fence.proxy.tensormap::generic.acquire.gpu [%rd3], 128;\n"
         "mov.u32 %r4, 4; mov.u32 %r5, 3;\n@!%p1 bra WAIT;\n"
         "mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 128;\n"
         "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r3], "
         "[%rd3, {%r4, %r5}], [%r2];\n"
         "WAIT: mbarrier.try_wait.parity.shared.b64 %p3, [%r2], 0; @!%p3 bra WAIT;\n"
         "mad.lo.u32 %r6, %r0, 4, %r3; ld.shared.u32 %r7, [%r6]; mad.wide.u32 %rd5, %r0, 4, %rd0; "
         "st.global.u32 [%rd5+512], %r7;";
}

constexpr const char* kFields[] = {
    "tensormap.replace.tile.rank.shared::cta.b1024.b32 [%r1], 1;\n",
    "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%r1], 0, 8;\n",
    "tensormap.replace.tile.box_dim.shared::cta.b1024.b32 [%r1], 1, 4;\n",
    "tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r1], 0, 10;\n",
    "tensormap.replace.tile.global_dim.shared::cta.b1024.b32 [%r1], 1, 5;\n",
    "tensormap.replace.tile.global_stride.shared::cta.b1024.b64 [%r1], 0, %rd4;\n",
    "tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [%r1], 0, 1;\n",
    "tensormap.replace.tile.element_stride.shared::cta.b1024.b32 [%r1], 1, 1;\n",
    "tensormap.replace.tile.elemtype.shared::cta.b1024.b32 [%r1], 2;\n",
    "tensormap.replace.tile.interleave_layout.shared::cta.b1024.b32 [%r1], 0;\n",
    "tensormap.replace.tile.swizzle_mode.shared::cta.b1024.b32 [%r1], 0;\n",
    "tensormap.replace.tile.fill_mode.shared::cta.b1024.b32 [%r1], 0;\n"};

Launch built_launch(const std::string& fields) {
  Launch launch = launch_of(built(fields), 32, 512, kShared);
  auto words = launch.tensors["buffer"].value.as<std::uint32_t>();
  std::iota(words.begin(), words.begin() + 60, 100u);
  return launch;
}

TEST(TensorMaps, AreBuiltOnTheDevice) {
  std::string fields;
  for (const char* each : kFields) fields += each;
  const Outcome outcome = run(built_launch(fields));
  ASSERT_EQ(outcome.fault.value_or(""), "");
  const auto words = words_of(outcome);
  for (std::uint32_t row = 0; row < 4; ++row)
    for (std::uint32_t column = 0; column < 8; ++column) {
      const bool inside = column + 4 < 10 && row + 3 < 5;
      EXPECT_EQ(words[128 + row * 8 + column], inside ? 100 + (row + 3) * 12 + column + 4 : 0)
          << row << " " << column;
    }
}

TEST(TensorMaps, AFieldThatIsMissingOrWrongShows) {
  for (const std::size_t left_out : {0, 1, 3, 5}) {
    std::string fields;
    for (std::size_t i = 0; i < std::size(kFields); ++i)
      if (i != left_out) fields += kFields[i];
    const Outcome outcome = run(built_launch(fields));
    EXPECT_TRUE(outcome.fault.has_value() || words_of(outcome)[128] != 100 + 3 * 12 + 4)
        << kFields[left_out];
  }
}

constexpr std::uint32_t kBox[] = {4, 2, 3, 2, 2};   // innermost first
constexpr std::int32_t kFrom[] = {1, -1, 2, 0, 1};  // where it is loaded
constexpr std::int32_t kTo[] = {0, 1, 1, 1, 0};     // and stored
constexpr std::uint32_t kSize[] = {8, 3, 4, 3, 2};
constexpr std::size_t kElements = 8 * 3 * 4 * 3 * 2;

/// Loads the box by `in` and gives it to `out`.
std::string moved(const std::string& store) {
  const auto at = [](const std::int32_t* c) {
    std::string text = "{";
    for (int i = 0; i < 5; ++i) text += (i == 0 ? "" : ", ") + std::to_string(c[i]);
    return text + "}";
  };
  return ".version 8.0 .target sm_90a\n.address_size 64\n.shared .align 128 .b8 "
         "tile[384];\n.shared "
         ".align 8 .b64 bar;\n"
         ".visible .entry k(.param .align 64 .b8 in[128], .param .align 64 .b8 out[128]) {\n"
         ".reg .b32 %r<9>; .reg .b64 %rd<9>; .reg .pred %p;\n"
         "mov.u32 %r1, tile; mov.u32 %r2, bar; mov.b64 %rd1, in; cvta.param.u64 %rd1, %rd1; "
         "mov.b64 "
         "%rd2, out; cvta.param.u64 %rd2, %rd2;\n"
         "mbarrier.init.shared.b64 [%r2], 1; mbarrier.arrive.expect_tx.shared.b64 _, [%r2], 384;\n"
         "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%r1], "
         "[%rd1, " +
         at(kFrom) +
         "], [%r2];\n"
         "W: mbarrier.try_wait.parity.shared.b64 %p, [%r2], 0; @!%p bra W;\n" +
         store + " [%rd2, " + at(kTo) +
         "], [%r1];\ncp.async.bulk.commit_group; cp.async.bulk.wait_group 0;\n}\n";
}

Launch five_dimensions(const std::string& store) {
  Launch launch{.ptx = moved(store), .file = "k.ptx"};
  for (const char* name : {"in", "out"}) {
    LaunchTensor tensor{files::make_tensor(files::DType::f32, {2, 3, 4, 3, 8}), true};
    const auto values = tensor.value.as<float>();
    std::iota(values.begin(), values.end(), name[0] == 'i' ? 1.0f : 5000.0f);
    launch.tensors[name] = std::move(tensor);
    launch.arguments.push_back(TensorMapArgument{.tensor = name, .box = {2, 2, 3, 2, 4}});
  }
  return launch;
}

/// What the box holds at an element of the tensor when its corner is there; 0 outside the tensor.
std::size_t index_of(const std::int32_t* at) {
  std::size_t index = 0;
  for (int i = 4; i >= 0; --i) {
    if (at[i] < 0 || at[i] >= static_cast<std::int32_t>(kSize[i])) return kElements;
    index = index * kSize[i] + static_cast<std::size_t>(at[i]);
  }
  return index;
}

template <typename Combine>
void expect_moved(const std::string& store, Combine combine) {
  const Outcome outcome = run(five_dimensions(store));
  ASSERT_EQ(outcome.fault.value_or(""), "");
  std::vector<float> expected(kElements);
  std::iota(expected.begin(), expected.end(), 5000.0f);
  std::size_t changed = 0;
  for (std::uint32_t e = 0; e < 4 * 2 * 3 * 2 * 2; ++e) {
    std::int32_t from[5], to[5];
    std::uint32_t left = e;
    for (int i = 0; i < 5; ++i) {
      const auto inside = static_cast<std::int32_t>(left % kBox[i]);
      from[i] = kFrom[i] + inside;
      to[i] = kTo[i] + inside;
      left /= kBox[i];
    }
    const std::size_t source = index_of(from), target = index_of(to);
    if (target == kElements) continue;
    const float value = source == kElements ? 0 : static_cast<float>(source) + 1;
    expected[target] = combine(expected[target], value);
    ++changed;
  }
  EXPECT_GT(changed, 60u);
  EXPECT_TRUE(std::ranges::equal(outcome.outputs.at("out").as<float>(), expected));
}

TEST(TensorMaps, BoxesOfFiveDimensions) {
  expect_moved("cp.async.bulk.tensor.5d.global.shared::cta.tile.bulk_group",
               [](float, float value) { return value; });
  expect_moved("cp.reduce.async.bulk.tensor.5d.global.shared::cta.add.tile.bulk_group",
               [](float old, float value) { return old + value; });
}

}  // namespace
}  // namespace karat::ptx
