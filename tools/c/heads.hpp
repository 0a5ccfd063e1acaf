// Q, K and V of a caller, head by head.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "karat/case/inputs.hpp"
#include "karat/case/tensor_source.hpp"
#include "karat/karat.h"

namespace karat::c {

/// Which of the three tensors a call reads.
enum class Reads { all, q };

/// What a backward takes beside q, k and v; null: it has none.
struct GradientTensors {
  const void* d_o = nullptr;
  const char* d_o_type = nullptr;
  const void* o = nullptr;  ///< with lse: the forward's; null: it runs first
  const char* o_type = nullptr;
  const float* lse = nullptr;
};

/// Checked once; then every head as spans: the caller's memory where that is f32 in BHSD, else a
/// copy of one head.
class Heads final : public cases::Inputs {
 public:
  /// @throws Error(usage) for null pointers, extents, a grid or a type that does not fit
  explicit Heads(const karat_heads& given, Reads reads = Reads::all,
                 const GradientTensors& gradient = {});

  cases::TensorLayout layout() const { return layout_; }
  /// Of the values of q, k and v, for the record of where a golden file came from.
  files::Json source() const override;
  files::DType dtype() const override;
  cases::HeadValues values(std::size_t batch, std::size_t head, int threads) const override;
  /// @throws Error(usage) for NaN or Inf, naming tensor, batch, head, token and channel
  attention::HeadInput borrowed(std::size_t batch, std::size_t head, int threads,
                                cases::HeadValues& room) const override;
  bool coded() const override { return scales_[0].values != nullptr; }
  /// @throws Error(usage) for scales that are NaN or Inf, naming operand, batch, head and group
  cases::CodedHead codes(std::size_t batch, std::size_t head) const override;
  cases::GradientOrigin output_gradient_origin() const override;
  files::DType output_gradient_dtype() const override;
  std::vector<float> output_gradient(std::size_t batch, std::size_t head) const override;
  bool gives_outputs() const override { return gradient_.o != nullptr; }
  cases::GivenOutputs outputs(std::size_t batch, std::size_t head,
                              numerics::FormatId format) const override;

 private:
  struct Scales {
    const float* values = nullptr;  ///< [batch][heads][groups]
    std::size_t groups = 0;
    std::optional<numerics::FormatId> format;  ///< of the codes, where they say one
  };

  void require_gradient() const;
  /// The format of the o given, where the recipe's output has `format`.
  numerics::FormatId given_output_format(numerics::FormatId format) const;
  /// Rows of one head of a tensor shaped as q.
  std::vector<float> rows_of(const void* tensor, numerics::FormatId format, std::size_t batch,
                             std::size_t head) const;
  void set_scales(const karat_scales& given);
  cases::CodedOperand coded_operand(int operand, std::size_t batch, std::size_t head) const;
  std::span<const float> operand(const void* tensor, const char* name, std::size_t heads,
                                 std::size_t batch, std::size_t head,
                                 std::vector<float>& room) const;
  std::size_t kv_heads() const { return shape().heads / shape().group(); }

  cases::TensorLayout layout_;
  numerics::FormatId format_;
  const void *q_, *k_, *v_;
  GradientTensors gradient_;
  std::array<Scales, 3> scales_;  ///< of q, k, v; without values: q_, k_ and v_ are no codes
};

/// Row s of head (b, h) begins at element offset(b, h) + s * row of a tensor of `heads` heads.
struct Strides {
  Strides(const cases::InputShape& shape, std::size_t heads, cases::TensorLayout layout);
  std::size_t offset(std::size_t b, std::size_t h) const { return b * batch + h * head; }
  std::size_t batch, head, row;
};

/// Rows of one head, [S,D] of any type, to their place in a tensor of `count` heads.
void put_rows(const files::Tensor& rows, const Heads& heads, std::size_t count, std::size_t b,
              std::size_t h, void* all);

}  // namespace karat::c
