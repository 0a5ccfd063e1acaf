// From a case (recipe, inputs, seed) to a golden file: every stage the recipe fixes, bit for bit,
// the legal range of what it leaves free, and the truth in f64. docs/golden.md names every dataset.
// Same case, same bytes: threads, processor and time leave no trace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "karat/case/case.hpp"
#include "karat/case/groups.hpp"
#include "karat/files/seal.hpp"

namespace karat::golden {

inline constexpr std::string_view kSchema = "karat-golden/1";

enum class Phase {
  inputs,
  attention,
  truth_sparse,
  truth_dense,
  backward,
  gradient_truth,
  side_by_side,  ///< small heads at once: thousandths of all heads, under head 0
};

enum class Passes {
  forward,
  forward_and_backward,  ///< of a recipe and inputs that have a backward
};

struct MakeOptions {
  std::uint64_t seed = 0;                        ///< also decides taps and truth rows
  std::string taps;                              ///< as cases::parse_taps()
  std::optional<std::string> dq_taps, dkv_taps;  ///< of the backward, as cases::TapWords
  int threads = 0;
  Passes passes = Passes::forward;
  std::string schedule;  ///< JSON that goes into the case as "schedule"; decides nothing
  /// When a phase begins (done = 0) and as it goes on; from any worker. An exception stops the
  /// work.
  std::function<void(Phase, std::size_t head, std::size_t done, std::size_t total)> progress;
};

struct MakeSummary {
  files::Seal seal;
  std::size_t heads = 0;
  double multiply_adds = 0;  ///< of the recipe's matrix products, all heads
  /// Quantising, engine and bounds. Of heads side by side the mean of the threads, as of truth.
  double attention_seconds = 0;
  double truth_multiply_adds = 0;
  double truth_seconds = 0;
  std::int64_t saturated_p_codes = 0;
  double backward_multiply_adds = 0;  ///< 0 without a backward, and so are the others
  double backward_seconds = 0;
  std::int64_t saturated_ds_codes = 0;
  cases::NotFinite not_finite;
};

MakeSummary make(const cases::Case& of, const MakeOptions& options,
                 const std::filesystem::path& destination);

}  // namespace karat::golden
