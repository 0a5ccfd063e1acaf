// What people ask a case for, as structs with one table of fields each: heads to generate, and a
// whole case. The command line, C and Python write into them through the tables.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "karat/case/case.hpp"
#include "karat/files/request.hpp"

namespace karat::cases {

/// Heads to generate. What is empty is the model's own, else the default of video::WorkloadSpec.
struct WorkloadRequest {
  std::optional<std::string> model, resolution;
  std::optional<video::WorkloadKind> kind;
  std::optional<video::HeadKind> head_kind;
  std::optional<int> head_dim, heads, batch;
  std::optional<std::size_t> kv_heads;  ///< 0: as many as heads
  std::optional<video::Extent3> grid;
  std::optional<int> text;
  std::optional<double> sigma;
  std::uint64_t seed = 0;
};
/// model, resolution, kind, head_kind, head_dim, heads, kv_heads, batch
std::span<const files::RequestField<WorkloadRequest>> workload_fields();
/// grid, text, sigma, seed: they say something about tensors from files too
std::span<const files::RequestField<WorkloadRequest>> token_fields();

/// @param only_head this one instead of all
/// @throws Error(usage) for fields that contradict each other
std::unique_ptr<Inputs> generated_inputs(const WorkloadRequest& asked,
                                         std::optional<int> only_head = {});

/// A recipe, tensors from files or generated ones, and a mask.
struct CaseRequest {
  std::optional<std::string> recipe;    ///< empty: the first file's own
  std::optional<std::string> schedule;  ///< a file of phases, instead of a recipe
  std::optional<int> step, steps;       ///< counted from 0; of the schedule, strategy and sampler
  std::optional<std::string> in;        ///< files of tensors, separated by commas
  TensorLayout layout = TensorLayout::bhsd;
  WorkloadRequest workload;
  std::optional<int> head;
  std::optional<std::string> mask;  ///< a file: arrays, or FastVideo's strategy
  std::optional<MaskOrder> mask_order;
  std::optional<int> layer;                       ///< of the strategy
  bool backward = false;                          ///< the gradients too
  std::optional<GradientOrigin> output_gradient;  ///< empty: given with `in`, else generated
  ForwardOrigin forward = ForwardOrigin::computed;
  int threads = 0;
};
/// All but those of the workload.
std::span<const files::RequestField<CaseRequest>> case_fields();

struct ChosenCase {
  Case of;
  std::string schedule;  ///< JSON of what the schedule picked: name, step, steps, phase, sigma
};
/// @throws Error(usage) for fields that contradict each other
ChosenCase choose_case(const CaseRequest& asked);

/// The arrays of a file, in the order stated; null without a path.
/// @throws Error(usage) for an order without a mask
std::shared_ptr<const GivenMask> mask_file(const std::optional<std::string>& path,
                                           std::optional<MaskOrder> order);

}  // namespace karat::cases
