// The Triton kernel of docs/recipes/triton_sparse_fp8.md from a launch file, against the engine.
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compiled.hpp"
#include "karat/attention/operations/kernel.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/mask/listed.hpp"
#include "karat/recipe/json.hpp"
#include "kernel_case.hpp"

namespace karat::kernels {
namespace {

using files::DType;
using files::Json;

constexpr std::size_t kBlock = 128, kChannels = 128;

enum class Form { maps, pointers };

recipe::Recipe recipe_of(Form form) {
  recipe::Recipe recipe = recipe::preset("triton_sparse_fp8");
  recipe.mask.kind = recipe::MaskKind::given;
  recipe.block.order = recipe::KeyOrder::given;
  if (form == Form::pointers) recipe.softmax.exponent = recipe::Exponent::scores;
  return recipe;
}

/// One head: its layout and operands, and the kept key blocks of each query block in their order.
struct Head {
  std::vector<std::vector<std::int32_t>> lists;
  layout::Layout layout;
  attention::QuantisedHead operands;
};

Head make_head(const recipe::Recipe& recipe, std::size_t tokens, unsigned seed) {
  std::mt19937 random(seed);
  const std::size_t blocks = tokens / kBlock;
  Head head;
  std::vector<std::uint8_t> keep(blocks * blocks);
  for (std::size_t q = 0; q < blocks; ++q) {
    auto& list = head.lists.emplace_back();
    for (std::size_t k = 0; k < blocks; ++k)
      if (q % blocks == 2 ? k < 1 : random() % 3 > 0) list.push_back(static_cast<std::int32_t>(k));
    if (list.empty()) list.push_back(0);
    std::ranges::shuffle(list, random);
    for (const std::int32_t k : list) keep[q * blocks + static_cast<std::size_t>(k)] = 1;
  }
  std::vector<mask::Range> ranges;
  for (std::size_t b = 0; b < blocks; ++b)
    ranges.push_back(
        {static_cast<std::int64_t>(b * kBlock), static_cast<std::int64_t>((b + 1) * kBlock)});
  head.layout = layout::make_layout(recipe, {.grid = {static_cast<int>(tokens / 256), 16, 16},
                                             .channels = kChannels,
                                             .given_mask =
                                                 [&](const video::TokenOrder&) {
                                                   return mask::block_table(ranges, ranges, keep);
                                                 },
                                             .given_order = head.lists});
  const Values values = random_values(tokens, kChannels, seed);
  head.operands =
      attention::quantise_head(recipe, head.layout, values.input(), numerics::Path::fast);
  return head;
}

std::vector<Head> make_heads(const recipe::Recipe& recipe, std::size_t tokens) {
  std::vector<Head> heads;
  for (const unsigned seed : {1u, 2u}) heads.push_back(make_head(recipe, tokens, seed));
  return heads;
}

/// All heads one after the other.
struct Outputs {
  std::vector<float> o, lse;
};

Outputs attend(const recipe::Recipe& recipe, const std::vector<Head>& heads) {
  Outputs outputs;
  for (const Head& head : heads) {
    const auto result = attention::attend(recipe, head.layout, head.operands);
    outputs.o.insert(outputs.o.end(), result.o.begin(), result.o.end());
    outputs.lse.insert(outputs.lse.end(), result.lse.begin(), result.lse.end());
  }
  return outputs;
}

files::Tensors tensors_of(const std::vector<Head>& heads, std::size_t tokens) {
  const std::size_t blocks = tokens / kBlock, h = heads.size();
  std::vector<std::uint8_t> q, k, vt;
  std::vector<float> q_scale, k_scale, v_scale;
  std::vector<std::int32_t> counts, indices;
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const Head& head : heads) {
    append(q, head.operands.q.codes);
    append(k, head.operands.k.codes);
    append(vt, transposed(head.operands.v.codes, kChannels));
    append(q_scale, head.operands.q.scales);
    append(k_scale, head.operands.k.scales);
    append(v_scale, head.operands.v.scales);
    for (auto list : head.lists) {
      counts.push_back(static_cast<std::int32_t>(list.size()));
      list.resize(blocks);
      append(indices, list);
    }
  }
  files::Tensors tensors;
  tensors["q"] = files::make_tensor(DType::f8_e4m3, {h * tokens, kChannels}, q);
  tensors["k"] = files::make_tensor(DType::f8_e4m3, {h * tokens, kChannels}, k);
  tensors["vt"] = files::make_tensor(DType::f8_e4m3, {h * kChannels, tokens}, vt);
  tensors["q_scale"] = files::make_tensor(DType::f32, {h, blocks}, q_scale);
  tensors["k_scale"] = files::make_tensor(DType::f32, {h, blocks}, k_scale);
  tensors["v_scale"] = files::make_tensor(DType::f32, {h, kChannels}, v_scale);
  tensors["counts"] = files::make_tensor(DType::i32, {h, blocks}, counts);
  tensors["indices"] = files::make_tensor(DType::i32, {h, blocks, blocks}, indices);
  return tensors;
}

std::filesystem::path ptx_of(Form form) {
  return compiled_folder() /
         (form == Form::maps ? "sparse_fp8_tma.ptx" : "sparse_fp8_pointers.ptx");
}

/// The launch file of docs/run.md.
Json launch_file(Form form, std::size_t heads, std::size_t tokens, float factor) {
  const std::size_t blocks = tokens / kBlock;
  Json tensors, parameters = Json::array();
  for (const char* name : {"q", "k", "vt", "q_scale", "k_scale", "v_scale", "counts", "indices"})
    tensors[name] = {{"file", "inputs.safetensors"}};
  tensors["out"] = {{"dtype", "bf16"}, {"shape", {heads * tokens, kChannels}}, {"output", true}};
  tensors["lse"] = {{"dtype", "f32"}, {"shape", {heads, tokens}}, {"output", true}};
  const auto operand = [&](const char* name, std::size_t rows, std::size_t columns, int box) {
    if (form == Form::pointers) return parameters.push_back({{"pointer", name}});
    parameters.push_back(
        {{"tensor_map", {{"tensor", name}, {"box", {128, box}}, {"swizzle", "128B"}}}});
    parameters.push_back({{"i32", rows}});
    parameters.push_back({{"i32", columns}});
    parameters.push_back({{"i64", columns}});
    parameters.push_back({{"i64", 1}});
  };
  operand("q", heads * tokens, kChannels, 128);
  operand("k", heads * tokens, kChannels, 128);
  operand("vt", heads * kChannels, tokens, 128);
  for (const char* name : {"q_scale", "k_scale", "v_scale", "counts", "indices"})
    parameters.push_back({{"pointer", name}});
  operand("out", heads * tokens, kChannels, 64);
  parameters.push_back({{"pointer", "lse"}});
  parameters.push_back({{"i32", tokens}});
  for (int i = 0; i < 3; ++i) parameters.push_back({{"i32", blocks}});
  parameters.push_back({{"f32", factor}});
  for (int i = 0; i < 2; ++i) parameters.push_back({{"pointer", ""}});
  return {{"schema", "karat.launch"},
          {"version", 1},
          {"ptx", ptx_of(form).string()},
          {"grid", {blocks, heads}},
          {"block", {256}},
          {"dynamic_shared", form == Form::maps ? 81956 : 114696},
          {"tensors", tensors},
          {"parameters", parameters}};
}

Outputs run_kernel(Form form, const std::vector<Head>& heads, std::size_t tokens, float factor) {
  const auto folder = std::filesystem::path(testing::TempDir()) /
                      ("karat_triton_" + std::to_string(::getpid()) + "_" + std::to_string(tokens) +
                       (form == Form::maps ? "m" : "p"));
  std::filesystem::create_directories(folder);
  files::write_safetensors(folder / "inputs.safetensors", tensors_of(heads, tokens));
  files::write_json(folder / "launch.json", launch_file(form, heads.size(), tokens, factor));
  const ptx::Outcome outcome = ptx::run(ptx::read_launch(folder / "launch.json"));
  std::filesystem::remove_all(folder);
  EXPECT_EQ(outcome.fault.value_or(""), "");
  Outputs outputs;
  for (const std::uint16_t code : outcome.outputs.at("out").as<std::uint16_t>())
    outputs.o.push_back(numerics::decode(code, numerics::FormatId::bf16));
  const auto lse = outcome.outputs.at("lse").as<float>();
  outputs.lse.assign(lse.begin(), lse.end());
  return outputs;
}

struct Scenario {
  Form form;
  std::size_t tokens;
};

class TritonSparseFp8 : public testing::TestWithParam<Scenario> {};

TEST_P(TritonSparseFp8, EqualsAttendOfItsRecipe) {
  const auto [form, tokens] = GetParam();
  const recipe::Recipe recipe = recipe_of(form);
  const std::vector<Head> heads = make_heads(recipe, tokens);
  const Outputs expected = attend(recipe, heads);
  const Outputs kernel = run_kernel(form, heads, tokens, attention::Kernel(recipe, kChannels).c);
  EXPECT_EQ(count_differing(kernel.o, expected.o), 0u) << "of " << expected.o.size();
  EXPECT_EQ(count_differing(kernel.lse, expected.lse), 0u) << "of " << expected.lse.size();
  if (tokens > 1024) return;
  // Every other reading of the kernel shows.
  using namespace recipe;
  for (const Edit& edit :
       {Edit{"scale_order", [](Recipe& r) { r.qk.scale_order = ScaleOrder::product_first; }},
        Edit{"exponent",
             [](Recipe& r) {
               const bool scores = r.softmax.exponent == Exponent::scores;
               r.softmax.exponent = scores ? Exponent::accumulator : Exponent::scores;
             }},
        Edit{"row_sum_order", [](Recipe& r) { r.softmax.row_sum_order = RowSumOrder::wgmma_quad; }},
        Edit{"row_sum_start", [](Recipe& r) { r.softmax.row_sum_start = RowSumStart::separate; }},
        Edit{"divisor", [](Recipe& r) { r.finish.divisor = Divisor::row_sum; }},
        Edit{"logarithm", [](Recipe& r) { r.finish.logarithm = Logarithm::mufu; }}}) {
    recipe::Recipe other = recipe;
    edit.apply(other);
    const Outputs wrong = attend(other, heads);
    EXPECT_GT(count_differing(wrong.o, kernel.o) + count_differing(wrong.lse, kernel.lse), 0u)
        << edit.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, TritonSparseFp8,
                         testing::Values(Scenario{Form::maps, 1024}, Scenario{Form::maps, 4096},
                                         Scenario{Form::pointers, 1024},
                                         Scenario{Form::pointers, 4096}),
                         [](const auto& each) {
                           return (each.param.form == Form::maps ? "TensorMaps" : "Pointers") +
                                  std::to_string(each.param.tokens);
                         });

}  // namespace
}  // namespace karat::kernels
