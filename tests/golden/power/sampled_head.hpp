// One head of a preset with a few query blocks computed: golden rows, their legal ranges and their
// FP64 truth. What check reads from a file, at sizes where whole files would take hours.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/case/inputs.hpp"

namespace karat::golden {

struct Sampling {
  video::Extent3 grid;
  int blocks = 4;  ///< query blocks, spread from first to last
  std::uint64_t seed = 0;
  video::WorkloadKind kind = video::WorkloadKind::gaussian;
  int head_dim = 128;
};

struct SampledHead {
  SampledHead(recipe::Recipe of, const Sampling& sampling);

  recipe::Recipe recipe;
  layout::Setting setting;
  std::shared_ptr<const cases::HeadValues> values;
  std::shared_ptr<const layout::Layout> layout;
  std::shared_ptr<const attention::QuantisedHead> operands;
  std::vector<int> blocks;
  std::vector<std::int32_t> rows;  ///< their tokens, ascending
  attention::HeadResult golden;    ///< per token, NaN elsewhere; with taps
  bounds::OutputBounds bounds;     ///< per token, the golden values elsewhere
  std::vector<double> truth;       ///< rows x channels, under the mask
};

}  // namespace karat::golden
