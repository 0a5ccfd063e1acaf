// Where a case's heads come from: the workload generator, or the user's tensors.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "karat/attention/head.hpp"
#include "karat/case/tensor_source.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/tensor.hpp"
#include "karat/recipe/recipe.hpp"
#include "karat/video/grid.hpp"
#include "karat/video/workload.hpp"

namespace karat::cases {

/// Whether somebody said the grid.
enum class GridOrigin {
  said,    ///< the caller, or the file the tensors come from
  assumed  ///< nobody: 1,1,S stands in, which only recipes without a grid may be computed on
};

struct InputShape {
  video::Extent3 grid;
  GridOrigin grid_origin = GridOrigin::said;
  int text = 0;  ///< tokens behind the video's
  std::size_t batch = 1;
  std::size_t heads = 1;
  std::size_t kv_heads = 0;  ///< heads of k and v, a divisor of heads; 0: as many
  std::size_t channels = 128;
  std::size_t tokens() const { return static_cast<std::size_t>(grid.volume() + text); }
  /// Query heads that share one head of k and v.
  std::size_t group() const { return kv_heads == 0 ? 1 : heads / kv_heads; }
};

/// One head in original token order, tokens x channels each.
struct HeadValues {
  std::vector<float> q, k, v;
  numerics::FormatId format = numerics::FormatId::f32;  ///< the type they came in
  attention::LargestOfAll largest = {};
  attention::HeadInput view() const {
    return {.q = q, .k = k, .v = v, .format = format, .largest = largest};
  }
};

/// Where dO, the gradient of the output, comes from.
enum class GradientOrigin {
  none,       ///< the case has a forward only
  given,      ///< the tensor `do`
  generated,  ///< from the seed
};

/// Where a backward takes o and lse from.
enum class ForwardOrigin { computed, given };

/// Output and log-sum-exp of a forward that somebody else ran.
struct GivenOutputs {
  std::vector<float> o;  ///< tokens x channels
  std::vector<float>
      lse;  ///< tokens; natural or log2 as the recipe says, -Inf for a row without keys
};

/// Codes in original token order, scales per group (karat::quant's numbering).
struct CodedOperand {
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
  std::optional<numerics::FormatId> format;  ///< what the codes say they are; empty: plain bytes
};
struct CodedHead {
  CodedOperand q, k, v;
};

/// Heads may be asked for by several threads at once.
class Inputs {
 public:
  virtual ~Inputs() = default;
  const InputShape& shape() const { return shape_; }
  /// What a launch takes from the workload beside Q, K and V.
  layout::Setting setting() const {
    return {.grid = shape_.grid, .channels = shape_.channels, .text = shape_.text};
  }
  /// What the case says about its source; decides nothing.
  virtual files::Json source() const = 0;
  /// Type in which values are stored; every value is exact in it.
  virtual files::DType dtype() const = 0;
  /// True when there are codes and scales instead of values.
  virtual bool coded() const { return false; }

  /// @throws Error(input_output) for NaN or Inf, naming tensor, batch, head, token and channel
  virtual HeadValues values(std::size_t batch, std::size_t head, int threads) const = 0;
  /// The same without a copy where they lie in memory as they are needed; else in `room`.
  virtual attention::HeadInput borrowed(std::size_t batch, std::size_t head, int threads,
                                        HeadValues& room) const;
  virtual CodedHead codes(std::size_t batch, std::size_t head) const;
  /// Makes what the values of all heads decide, reading `at_once` heads at a time on a thread each.
  /// Without it whoever needs it first makes it.
  /// @throws what reading throws
  virtual void prepare(int at_once) const;

  virtual GradientOrigin output_gradient_origin() const { return GradientOrigin::none; }
  /// Type in which dO is stored; every value is exact in it.
  virtual files::DType output_gradient_dtype() const { return files::DType::bf16; }
  /// dO of one query head, tokens x channels in original order.
  /// @throws Error(input_output) for NaN or Inf, naming tensor, batch, head, token and channel
  virtual std::vector<float> output_gradient(std::size_t batch, std::size_t head) const;
  /// Whether a backward enters in the middle, with o and lse as they are given.
  virtual bool gives_outputs() const { return false; }
  /// @param format  of the forward's output: o holds its codes, or values that are exact in it
  /// @throws Error(usage) for codes of another format
  /// @throws Error(input_output) for values that no such forward leaves
  virtual GivenOutputs outputs(std::size_t batch, std::size_t head,
                               numerics::FormatId format) const;

 protected:
  explicit Inputs(InputShape shape) : shape_(shape) {}

 private:
  InputShape shape_;
};

/// dO made of a seed: normal numbers times 2^-e, e = 0, 1, 2 or 3 token by token, rounded to BF16.
/// Tokens differ in size; the size of all is arbitrary, since exact gradients are linear in dO.
std::vector<float> generated_output_gradient(std::uint64_t seed, std::size_t batch,
                                             std::size_t head, std::size_t tokens,
                                             std::size_t channels);

/// Generated heads first_head, first_head + 1, ... With kv_heads below their number (0: as many),
/// the heads of a group have the K and V of its first.
std::unique_ptr<Inputs> generated_inputs(const video::WorkloadSpec& spec, std::size_t first_head,
                                         std::size_t kv_heads = 0);

struct FileInputOptions {
  std::optional<video::Extent3> grid;  ///< empty: the file's own (said_grid), else assumed
  std::optional<int> text;             ///< empty: the file's own, else 0
  TensorLayout layout = TensorLayout::bhsd;
  std::optional<std::size_t> only_head;  ///< one head of the file instead of all
  GradientOrigin output_gradient = GradientOrigin::none;
  std::uint64_t seed = 0;  ///< of a generated dO
  /// Take o and lse from the files too.
  ForwardOrigin forward = ForwardOrigin::computed;
};
/// Tensors q, k, v (query, key, value), or codes: q_codes and q_scale, or a one-byte q beside it,
/// and so on; dO, where it is given, is do or dout. Several files, each with some of the tensors,
/// count as one.
/// @throws Error(usage) when shapes disagree with each other or the grid, or a tensor is missing
std::unique_ptr<Inputs> file_inputs(const std::vector<std::filesystem::path>& files,
                                    const FileInputOptions& options);

/// Codes and scales as the kernel's operands.
attention::QuantisedHead quantised(const recipe::Recipe& recipe, const layout::Layout& layout,
                                   const CodedHead& head);
/// scale * code for every element, original token order: what the truth of coded inputs is about.
HeadValues dequantised(const layout::Layout& layout, const attention::QuantisedHead& head);

}  // namespace karat::cases
