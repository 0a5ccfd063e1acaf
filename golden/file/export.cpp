// Datasets under their stable names.
#include "karat/golden/export.hpp"

#include "dataset_table.hpp"
#include "karat/case/stages.hpp"

namespace karat::golden {
namespace {

/// The rows of a folder, without its name.
files::Tensors read(const GoldenFile& golden, std::string_view folder) {
  files::Tensors tensors;
  for (const schema::Row& row : schema::stage_rows())
    if (row.name.starts_with(folder)) {
      const std::string_view stage = row.name.substr(folder.size());
      if (const auto name = golden.source().find(stage))
        tensors[std::string(stage)] = golden.source().read(*name);
    }
  return tensors;
}

}  // namespace

files::Tensors exported_inputs(const GoldenFile& golden) {
  files::Tensors inputs = read(golden, "inputs/");
  if (inputs.contains("q")) return inputs;
  for (auto& [name, tensor] : read(golden, "stages/"))
    if (name.ends_with("_codes") || name.ends_with("_scale")) inputs[name] = std::move(tensor);
  return inputs;
}

files::Tensors exported_stages(const GoldenFile& golden) {
  files::Tensors stages = read(golden, "stages/");
  const auto add = [&](const std::string& name) {
    if (const auto stored = golden.source().find(name))
      stages[name] = golden.source().read(*stored);
  };
  for (std::size_t b = 0; b < golden.shape().batch; ++b)
    for (std::size_t h = 0; h < golden.shape().heads; ++h)
      for (const int block : golden.tapped(b, h))
        for (const schema::Row& row : schema::tap_rows())
          add(cases::tap_name(b, h, block, row.name));
  for (std::size_t b = 0; b < golden.shape().batch; ++b)
    for (std::size_t h = 0; h < golden.shape().heads; ++h) {
      for (const int block : golden.dq_tapped(b, h))
        for (const schema::Row& row : schema::dq_tap_rows())
          add(cases::dq_tap_name(b, h, block, row.name));
      for (const int block : golden.dkv_tapped(b, h))
        for (const schema::Row& row : schema::dkv_tap_rows())
          add(cases::dkv_tap_name(b, h, block, row.name));
    }
  return stages;
}

}  // namespace karat::golden
