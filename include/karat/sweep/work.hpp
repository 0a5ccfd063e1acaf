// What a spec asks for, shard by shard. Shards are numbered; equal specs give equal shards.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "karat/sweep/spec.hpp"

namespace karat::sweep {

/// What a shard is expected to take. Estimates order the work and size a job; nothing rests on
/// them.
struct Cost {
  double multiply_adds = 0;  ///< of matrix products, truth included
  double seconds = 0;        ///< of one core (cost.hpp: the rates)
  double bytes = 0;          ///< of the result
};

struct ShardOptions {
  int threads = 0;
  /// Called now and then, from any thread; an exception stops the shard.
  std::function<void()> tick;
};

/// What computing a shard left.
struct Made {
  /// The result; empty where the work wrote a sealed file itself, whole and durable.
  std::optional<std::string> text;
  std::string sha256;  ///< of the text, or of a golden file behind its seal
  std::uint64_t bytes = 0;
};

class Work {
 public:
  virtual ~Work() = default;
  /// ".h5" or ".json", of results.
  virtual std::string_view ending() const = 0;
  virtual std::size_t size() const = 0;
  /// Letters, digits and . _ - + = : @ only; each once.
  virtual std::string name(std::size_t shard) const = 0;
  virtual Cost cost(std::size_t shard) const = 0;
  /// What a person would type for the same result.
  virtual std::string command(std::size_t shard) const = 0;
  /// What the work found beside the spec's bytes, as JSON: inputs and recipes. A plan keeps it, and
  /// work that is made again from the plan must find the same.
  virtual std::string identity() const = 0;
  /// Computes one shard. Equal work, equal bytes, whatever the destination is called.
  /// @throws whatever the command would
  virtual Made make(std::size_t shard, const std::filesystem::path& destination,
                    const ShardOptions& options) = 0;
};

/// @throws Error(usage) for fields that are unknown or contradict each other
std::unique_ptr<Work> work_of(const Spec& spec, const Places& places);

}  // namespace karat::sweep
