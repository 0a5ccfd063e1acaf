// Where heads come from, cell by cell: the denoising model, or a folder of the user's tensors.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "karat/capture/cell.hpp"
#include "karat/case/inputs.hpp"
#include "karat/files/json_file.hpp"
#include "karat/video/grid.hpp"

namespace karat::capture {

/// What is the same for all heads of a source.
struct SourceFacts {
  std::string origin;  ///< in words, for people
  video::Extent3 grid;
  std::size_t channels = 0;
  int steps = 0;              ///< of the sampler
  std::vector<double> sigma;  ///< per step; NaN: not known
  double guidance = 1;        ///< g of u + g*(c - u)
  std::vector<Job> jobs;      ///< ascending
  std::vector<video::Branch> branches;
  /// given: every head of the first branch comes with its dO.
  cases::GradientOrigin output_gradient = cases::GradientOrigin::none;
};

class Source {
 public:
  virtual ~Source() = default;
  const SourceFacts& facts() const { return facts_; }
  /// Everything the values depend on: a study only continues one of the same source.
  virtual files::Json identity() const = 0;
  /// "local", "spatial", ...; empty where nobody knows.
  virtual std::string head_kind(const Job& job) const = 0;
  /// Tokens whose queries are there, ascending; empty: all.
  virtual std::vector<std::int32_t> query_tokens(const Job& job) const = 0;
  /// @throws Error(input_output) for values that are missing, NaN or infinite
  virtual cases::HeadValues values(const Cell& cell, int threads) const = 0;
  /// dO, tokens x channels; nothing where the source has none.
  /// @throws Error(input_output) for NaN and Inf
  virtual std::optional<std::vector<float>> output_gradient(const Cell&) const {
    return std::nullopt;
  }

 protected:
  SourceFacts facts_;
};

}  // namespace karat::capture
