// Gradients of random heads with every stage, for the NumPy programs to compare:
//   backward_stages RECIPE T,H,W CHANNELS TEXT HEADS FLAVOUR SEED PATH OUT.safetensors
// HEADS query heads share one of keys and values; PATH is scalar or fast; a given mask is random,
// with rows and columns of no pair. Inputs and results are in token order, taps in positions.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "../random_head.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"

namespace karat::attention {
namespace {

using files::DType;

std::unique_ptr<mask::Mask> random_pairs(const video::TokenOrder& order) {
  std::mt19937 random(3);
  const auto n = static_cast<std::size_t>(order.positions());
  std::vector<std::uint8_t> keep(n * n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j)
      keep[i * n + j] = random() % 2 == 1 && i % 7 != 3 && j % 11 != 4 && (i / 64 != 1 || j < 96);
  return mask::boolean_matrix(keep, order.positions(), order.positions());
}

class Stages {
 public:
  template <class T>
  void add(const std::string& name, DType type, const std::vector<T>& values, files::Shape shape) {
    tensors_[name] = files::make_tensor(type, std::move(shape), values);
  }
  void add(const std::string& name, const std::vector<float>& values, std::size_t rows) {
    add(name, DType::f32, values, {rows, rows == 0 ? 0 : values.size() / rows});
  }
  void add(const std::string& name, const std::vector<std::int32_t>& values) {
    add(name, DType::i32, values, {values.size()});
  }
  void codes(const std::string& name, const std::vector<std::uint8_t>& values, std::size_t rows) {
    if (!values.empty()) add(name, DType::u8, values, {rows, values.size() / rows});
  }
  void write(const char* path) const { files::write_safetensors(path, tensors_); }

 private:
  files::Tensors tensors_;
};

void add_tap(const BackwardTap& tap, Stages& out) {
  const std::string at = "queries/" + std::to_string(tap.query_block) + "/";
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  out.add(at + "key_block", tap.key_block);
  out.add(at + "key_position", tap.key_position);
  for (const auto& [name, values] :
       {std::pair{"s", &tap.s}, std::pair{"p", &tap.p}, std::pair{"p_operand", &tap.p_operand},
        std::pair{"dp", &tap.dp}, std::pair{"ds", &tap.ds},
        std::pair{"ds_operand", &tap.ds_operand}})
    out.add(at + name, *values, rows);
  out.codes(at + "p_codes", tap.p_codes, rows);
  out.codes(at + "ds_codes", tap.ds_codes, rows);
  out.add(at + "dq", tap.dq, tap.key_block.size() * rows);
}

void add_tap(const KeyBlockTap& tap, Stages& out) {
  const std::string at = "keys/" + std::to_string(tap.key_block) + "/";
  const auto rows = tap.query_block.size() * static_cast<std::size_t>(tap.keys.size());
  out.add(at + "query_block", tap.query_block);
  out.add(at + "dk", tap.dk, rows);
  out.add(at + "dv", tap.dv, rows);
}

std::vector<int> up_to(std::size_t count) {
  std::vector<int> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<int>(i);
  return all;
}

struct OneHead {
  RandomHead values;
  std::vector<float> d_o;
  QuantisedHead coded;
  HeadResult forward;
  std::vector<float> o_unquantised_p;
};

void run(char** argument) {
  const recipe::Recipe recipe = recipe::load_recipe(argument[1]);
  layout::Setting setting;
  std::sscanf(argument[2], "%d,%d,%d", &setting.grid.t, &setting.grid.h, &setting.grid.w);
  setting.channels = static_cast<std::size_t>(std::atoi(argument[3]));
  setting.text = std::atoi(argument[4]);
  if (recipe.mask.kind == recipe::MaskKind::given) setting.given_mask = random_pairs;
  const layout::Layout layout = layout::make_layout(recipe, setting);
  const auto tokens = static_cast<std::size_t>(setting.tokens());
  const numerics::Path path =
      std::string(argument[8]) == "fast" ? numerics::Path::fast : numerics::Path::scalar;

  std::vector<OneHead> heads(static_cast<std::size_t>(std::atoi(argument[5])));
  std::vector<BackwardHead> entering;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    OneHead& head = heads[h];
    const auto flavour = static_cast<Flavour>(std::atoi(argument[6]));
    const auto seed = static_cast<unsigned>(std::atoi(argument[7])) + 2 * static_cast<unsigned>(h);
    const video::Extent3 row_of_tokens{1, 1, static_cast<int>(tokens)};
    head.values = random_head(row_of_tokens, setting.channels, flavour, seed);
    head.d_o = random_head(row_of_tokens, setting.channels, flavour, seed + 1).v;
    for (auto* x : {&head.values.q, &head.values.k, &head.values.v, &head.d_o})
      for (float& value : *x)
        value = numerics::decode(numerics::encode(value, numerics::FormatId::bf16),
                                 numerics::FormatId::bf16);
    if (h > 0) {
      head.values.k = heads[0].values.k;
      head.values.v = heads[0].values.v;
    }
    HeadInput input = head.values.input();
    input.format = numerics::FormatId::bf16;
    head.coded = quantise_head(recipe, layout, input, path);
    head.forward = attend(recipe, layout, head.coded, {.path = path, .threads = 1});
    if (recipe.backward.delta == recipe::Delta::unquantised_p)
      head.o_unquantised_p = unquantised_p_output(recipe, layout, head.coded, path, 1);
    entering.push_back(
        {&head.coded, input, head.forward.o, head.forward.lse, head.d_o, head.o_unquantised_p});
  }
  const mask::BlockMap blocks = backward_blocks(recipe, layout);
  const BackwardResult result =
      attend_backward(recipe, layout, entering,
                      {.path = path,
                       .threads = 1,
                       .tapped_queries = up_to(blocks.query_blocks.size()),
                       .tapped_keys = up_to(blocks.key_blocks.size())});
  Stages out;
  for (std::size_t h = 0; h < heads.size(); ++h) {
    const std::string at = "head/" + std::to_string(h) + "/";
    out.add(at + "q", heads[h].values.q, tokens);
    out.add(at + "d_o", heads[h].d_o, tokens);
    out.add(at + "o", heads[h].forward.o, tokens);
    out.add(at + "lse", heads[h].forward.lse, tokens);
    if (!heads[h].o_unquantised_p.empty())
      out.add(at + "o_unquantised_p", heads[h].o_unquantised_p, tokens);
    out.add(at + "delta", result.delta[h], tokens);
    out.add(at + "dq", result.dq[h], tokens);
  }
  out.add("k", heads[0].values.k, tokens);
  out.add("v", heads[0].values.v, tokens);
  out.add("dk", result.dk, tokens);
  out.add("dv", result.dv, tokens);
  out.add("saturated_ds_codes", {static_cast<std::int32_t>(result.saturated_ds_codes)});
  if (setting.given_mask) {
    std::vector<std::uint8_t> kept;
    for (std::int64_t i = 0; i < layout.mask->queries(); ++i)
      for (std::int64_t j = 0; j < layout.mask->keys(); ++j)
        kept.push_back(layout.mask->keeps(i, j));
    out.codes("kept", kept, static_cast<std::size_t>(layout.mask->queries()));
  }
  for (const BackwardTap& tap : result.query_taps) add_tap(tap, out);
  for (const KeyBlockTap& tap : result.key_taps) add_tap(tap, out);
  out.write(argument[9]);
}

}  // namespace
}  // namespace karat::attention

int main(int argc, char** argv) {
  if (argc != 10) return 2;
  try {
    karat::attention::run(argv);
  } catch (const karat::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
