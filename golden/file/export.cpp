// Datasets under their stable names.
#include "karat/golden/export.hpp"

#include "karat/case/formats.hpp"

namespace karat::golden {
namespace {

using files::DType;
using files::make_tensor;
using numerics::FormatId;

constexpr std::string_view kInputs[] = {"q", "k", "v"};
constexpr std::string_view kStages[] = {"q_codes", "q_scale", "k_codes", "k_scale", "v_codes",
                                        "v_scale", "m",       "l",       "lse",     "o"};
constexpr std::string_view kTapStages[] = {"a", "s", "p_codes", "m", "l", "o", "query_token",
                                           "key_token", "key_block", "column_begin"};

template <typename Names>
files::Tensors read(const GoldenFile& golden, const Names& names) {
  files::Tensors tensors;
  for (const std::string_view stage : names)
    if (const auto name = golden.source().find(stage))
      tensors[std::string(stage)] = golden.source().read(*name);
  return tensors;
}

}  // namespace

files::Tensors exported_inputs(const GoldenFile& golden) {
  files::Tensors inputs = read(golden, kInputs);
  if (!inputs.empty()) return inputs;
  for (auto& [name, tensor] : exported_stages(golden))
    if (name.ends_with("_codes") || name.ends_with("_scale"))
      if (!name.starts_with("tap.")) inputs[name] = std::move(tensor);
  return inputs;
}

files::Tensors exported_stages(const GoldenFile& golden) {
  files::Tensors stages = read(golden, kStages);
  for (std::size_t b = 0; b < golden.shape().batch; ++b)
    for (std::size_t h = 0; h < golden.shape().heads; ++h)
      for (const int block : golden.tapped(b, h))
        for (const std::string_view stage : kTapStages) {
          const std::string name = tap_name(b, h, block, stage);
          if (const auto stored = golden.source().find(name))
            stages[name] = golden.source().read(*stored);
        }
  return stages;
}

files::Tensors tap_tensors(const recipe::Recipe& recipe, const layout::Layout& layout,
                           const attention::BlockTap& tap) {
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t columns = tap.key_position.size();
  const std::size_t visits = tap.key_block.size();
  std::vector<std::int32_t> queries, keys;
  for (std::int64_t i = tap.queries.begin; i < tap.queries.end; ++i)
    queries.push_back(layout.order.token_at[i]);
  for (const std::int32_t position : tap.key_position)
    keys.push_back(layout.key_order.token_at[position]);
  return {{"a", cases::encoded(tap.a, FormatId::f32, {rows, columns})},
          {"s", cases::encoded(tap.s, FormatId::f32, {rows, columns})},
          {"p_codes", cases::encoded(tap.p, recipe.p.format, {rows, columns})},
          {"m", cases::encoded(tap.m, FormatId::f32, {visits, rows})},
          {"l", cases::encoded(tap.l, FormatId::f32, {visits, rows})},
          {"o", cases::encoded(tap.o, FormatId::f32, {visits, rows, layout.channels})},
          {"query_token", make_tensor(DType::i32, {rows}, queries)},
          {"key_token", make_tensor(DType::i32, {columns}, keys)},
          {"key_block", make_tensor(DType::i32, {visits}, tap.key_block)},
          {"column_begin", make_tensor(DType::i64, {visits + 1}, tap.column_begin)}};
}

}  // namespace karat::golden
