// Where a study's heads come from: the denoising model, or a folder of the user's tensors.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/study/sensitivity.hpp"
#include "karat/video/denoising.hpp"

namespace karat::study {

/// What both branches of one (prompt, step, layer, head) share.
struct Job {
  std::int32_t prompt = 0, step = 0, layer = 0, head = 0;
  friend auto operator<=>(const Job&, const Job&) = default;
};
inline Cell cell_of(const Job& job, Branch branch) {
  return {job.prompt, job.step, job.layer, job.head, branch};
}

/// One head's values in original token order, tokens x channels each.
struct HeadValues {
  std::vector<float> q, k, v;
  numerics::FormatId format = numerics::FormatId::bf16;
  attention::HeadInput view() const { return {.q = q, .k = k, .v = v, .format = format}; }
};

class Source {
 public:
  virtual ~Source() = default;
  virtual std::string origin() const = 0;  ///< in words, for people
  /// Everything the values depend on: a study only continues one of the same source.
  virtual files::Json identity() const = 0;
  virtual video::Extent3 grid() const = 0;
  virtual std::size_t channels() const = 0;
  virtual int steps() const = 0;                          ///< of the sampler
  virtual const std::vector<double>& sigma() const = 0;   ///< per step; NaN: not known
  virtual double guidance() const = 0;                    ///< g of u + g*(c - u)
  virtual const std::vector<Job>& jobs() const = 0;       ///< ascending
  virtual const std::vector<Branch>& branches() const = 0;
  /// "local", "spatial", ...; empty where nobody knows.
  virtual std::string head_kind(const Job& job) const = 0;
  /// Tokens whose queries are there, ascending; empty: all.
  virtual std::vector<std::int32_t> query_tokens(const Job& job) const = 0;
  /// @throws Error(input_output) for values that are missing, NaN or infinite
  virtual HeadValues values(const Cell& cell, int threads) const = 0;
};

struct GeneratedSource {
  video::DenoisingSpec spec;
  std::string model = "wan2.1-1.3b";  ///< whose schedule of sigma and guidance
  int prompts = 1;
  std::vector<int> steps, layers, heads;  ///< which ones, ascending
  std::vector<Branch> branches{Branch::conditional, Branch::unconditional};
};
/// @throws Error(usage) for empty lists and indices out of range
std::unique_ptr<Source> generated_source(const GeneratedSource& source);

/// A folder of safetensors files, or one file, named as docs/study.md says.
/// @throws Error(input_output) naming the first thing that is missing, unknown or contradictory
std::unique_ptr<Source> capture_source(const std::filesystem::path& folder);

/// `count` of [0, total), evenly spread with both ends; all of them when count >= total.
std::vector<int> spread(int count, int total);

}  // namespace karat::study
