// Datasets under their stable names.
#include "karat/golden/export.hpp"

#include "karat/case/stages.hpp"

namespace karat::golden {
namespace {

constexpr std::string_view kInputs[] = {"q", "k", "v"};
constexpr std::string_view kStages[] = {"q_codes", "q_scale", "k_codes", "k_scale", "v_codes",
                                        "v_scale", "m",       "l",       "lse",     "o"};
constexpr std::string_view kTapStages[] = {
    "a", "s", "p_codes", "m", "l", "o", "query_token", "key_token", "key_block", "column_begin"};

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
          const std::string name = cases::tap_name(b, h, block, stage);
          if (const auto stored = golden.source().find(name))
            stages[name] = golden.source().read(*stored);
        }
  return stages;
}

}  // namespace karat::golden
