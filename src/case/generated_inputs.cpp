// Heads of the workload generator.
#include <nlohmann/json.hpp>

#include "karat/case/memory.hpp"

namespace karat::cases {
namespace {

class GeneratedInputs final : public Inputs {
 public:
  GeneratedInputs(const video::WorkloadSpec& spec, std::size_t first_head, std::size_t kv_heads)
      : Inputs({.grid = spec.grid,
                .text = spec.text,
                .batch = static_cast<std::size_t>(spec.batch),
                .heads = static_cast<std::size_t>(spec.heads) - first_head,
                .kv_heads = kv_heads,
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
    if (spec_.text > 0) json["text"] = spec_.text;
    if (shape().group() > 1) json["kv_heads"] = shape().kv_heads;
    json["tile"] = {spec_.tile.t, spec_.tile.h, spec_.tile.w};
    return json;
  }
  files::DType dtype() const override { return files::DType::bf16; }

  HeadValues values(std::size_t batch, std::size_t head, int threads) const override {
    const auto generate = [&](std::size_t number) {
      return video::generate_head(spec_, static_cast<int>(batch),
                                  static_cast<int>(number + first_head_), threads);
    };
    video::Head made = generate(head);
    const std::size_t group = shape().group();
    if (head % group != 0) {
      video::Head shared = generate(head - head % group);
      made.k = std::move(shared.k);
      made.v = std::move(shared.v);
    }
    return {.q = std::move(made.q),
            .k = std::move(made.k),
            .v = std::move(made.v),
            .format = numerics::FormatId::bf16};
  }

  GradientOrigin output_gradient_origin() const override { return GradientOrigin::generated; }
  std::vector<float> output_gradient(std::size_t batch, std::size_t head) const override {
    return generated_output_gradient(spec_.seed, batch, head + first_head_, shape().tokens(),
                                     shape().channels);
  }

 private:
  video::WorkloadSpec spec_;
  std::size_t first_head_;
};

}  // namespace

std::unique_ptr<Inputs> generated_inputs(const video::WorkloadSpec& spec, std::size_t first_head,
                                         std::size_t kv_heads) {
  video::validate(spec);
  const std::size_t heads = static_cast<std::size_t>(spec.heads) - first_head;
  return std::make_unique<GeneratedInputs>(spec, first_head,
                                           kv_heads_of(heads, static_cast<std::int64_t>(kv_heads)));
}

}  // namespace karat::cases
