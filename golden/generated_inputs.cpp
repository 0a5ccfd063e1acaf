// Heads of the workload generator.
#include <nlohmann/json.hpp>

#include "karat/golden/inputs.hpp"

namespace karat::golden {
namespace {

class GeneratedInputs final : public Inputs {
 public:
  GeneratedInputs(const video::WorkloadSpec& spec, std::size_t first_head)
      : Inputs({.grid = spec.grid,
                .batch = static_cast<std::size_t>(spec.batch),
                .heads = static_cast<std::size_t>(spec.heads) - first_head,
                .channels = static_cast<std::size_t>(spec.head_dim)}),
        spec_(spec),
        first_head_(first_head) {}

  files::Json source() const override {
    files::Json json{{"kind", "generated"}};
    for (const auto& row : video::workload_kinds())
      if (row.kind == spec_.kind) json["workload"] = row.name;
    for (const auto& row : video::head_kinds())
      if (spec_.head_kind == row.kind) json["head_kind"] = row.name;
    json["first_head"] = first_head_;
    json["sigma"] = spec_.sigma;
    json["objects"] = spec_.objects;
    json["motion"] = spec_.motion;
    json["outlier_channels"] = spec_.outlier_channels;
    json["outlier_gain"] = spec_.outlier_gain;
    json["tile"] = {spec_.tile.t, spec_.tile.h, spec_.tile.w};
    return json;
  }
  files::DType dtype() const override { return files::DType::bf16; }

  HeadValues values(std::size_t batch, std::size_t head, int threads) const override {
    video::Head made = video::generate_head(spec_, static_cast<int>(batch),
                                            static_cast<int>(head + first_head_), threads);
    return {.q = std::move(made.q),
            .k = std::move(made.k),
            .v = std::move(made.v),
            .format = numerics::FormatId::bf16};
  }

 private:
  video::WorkloadSpec spec_;
  std::size_t first_head_;
};

}  // namespace

std::unique_ptr<Inputs> generated_inputs(const video::WorkloadSpec& spec, std::size_t first_head) {
  video::validate(spec);
  return std::make_unique<GeneratedInputs>(spec, first_head);
}

}  // namespace karat::golden
