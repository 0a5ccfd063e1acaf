// Q, K and V of a caller, head by head.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/case/inputs.hpp"
#include "karat/karat.h"

namespace karat::c {

/// Which of the three tensors a call reads.
enum class Reads { all, q };

/// Checked once; then every head as spans: the caller's memory where that is f32 in BHSD, else a
/// copy of one head.
class Heads {
 public:
  /// @throws Error(usage) for null pointers, extents, a grid or a type that does not fit
  explicit Heads(const karat_heads& given, Reads reads = Reads::all);

  const cases::InputShape& shape() const { return shape_; }
  cases::TensorLayout layout() const { return layout_; }
  numerics::FormatId format() const { return format_; }
  std::size_t count() const { return shape_.batch * shape_.heads; }
  layout::Setting setting(layout::GivenMask mask = {}) const {
    return {.grid = shape_.grid,
            .channels = shape_.channels,
            .text = shape_.text,
            .given_mask = std::move(mask)};
  }

  /// Room for the values of one head that have to be copied; reused from head to head.
  struct Room {
    std::vector<float> q, k, v;
  };
  /// @throws Error(usage) for NaN or Inf, naming tensor, batch, head, token and channel
  attention::HeadInput head(std::size_t batch, std::size_t head, Room& room) const;
  /// SHA-256 of all values of q, k and v, for the record of where a golden file came from.
  std::string sha256() const;

 private:
  std::span<const float> values(const void* tensor, const char* name, std::size_t heads,
                                std::size_t batch, std::size_t head,
                                std::vector<float>& room) const;
  std::size_t kv_heads() const { return shape_.heads / shape_.group(); }

  cases::InputShape shape_;
  cases::TensorLayout layout_;
  numerics::FormatId format_;
  const void *q_, *k_, *v_;
};

/// Row s of head (b, h) begins at element offset(b, h) + s * row of a tensor of `heads` heads.
struct Strides {
  Strides(const cases::InputShape& shape, std::size_t heads, cases::TensorLayout layout);
  std::size_t offset(std::size_t b, std::size_t h) const { return b * batch + h * head; }
  std::size_t batch, head, row;
};

/// The same heads for a golden file.
std::unique_ptr<cases::Inputs> inputs_of(const Heads& heads);

}  // namespace karat::c
