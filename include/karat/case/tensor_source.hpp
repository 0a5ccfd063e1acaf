// A user's tensors, whichever file they come in: safetensors, npy, HDF5 or a golden file. Read head
// by head, so that a file of many heads needs the memory of one (HDF5; safetensors of BHSD) or of
// one tensor (the others).
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/tensor.hpp"

namespace karat::cases {

/// Order of the dimensions of a tensor of rows and channels.
enum class TensorLayout {
  bhsd,  ///< batch, head, token, channel (PyTorch)
  bshd,  ///< batch, token, head, channel (FlashAttention)
  bhds,  ///< batch, head, channel, token: V as FP8 kernels read it
};

/// Leading dimensions of 1 may be missing: [S,D], [H,S,D] and [B,H,S,D] are all welcome.
struct HeadShape {
  std::size_t batch = 1;
  std::size_t heads = 1;
  std::size_t rows = 0;
  std::size_t channels = 1;
  friend bool operator==(const HeadShape&, const HeadShape&) = default;
};
enum class Extents {
  matrix,  ///< rows and channels, in the layout asked for
  vector,  ///< rows alone: always [B,H,S], whatever the layout
};

class TensorSource {
 public:
  virtual ~TensorSource() = default;
  /// @throws Error(input_output) for a file that is none of the three kinds or is damaged
  static std::unique_ptr<TensorSource> open(const std::filesystem::path& path);

  const std::string& subject() const { return subject_; }
  /// The name in the file for a stage: "o", or "stages/o" (also "inputs/q"); "tap.0.0.12.s" also as
  /// "stages/tap/0/0/12/s". A .npy file holds one tensor and answers to its own name and to "o".
  std::optional<std::string> find(std::string_view stage) const;
  const files::TensorInfo& info(const std::string& name) const;
  virtual const std::vector<files::TensorInfo>& list() const = 0;
  /// safetensors metadata, or a golden file's recipe and grid under the same keys.
  virtual files::Metadata metadata() const { return {}; }

  HeadShape head_shape(const std::string& name, Extents extents, TensorLayout layout) const;
  /// rows x channels of one head, raw. Several threads may ask at once.
  files::Tensor head(const std::string& name, Extents extents, TensorLayout layout,
                     std::size_t batch, std::size_t head) const;
  virtual files::Tensor read(const std::string& name) const = 0;

 protected:
  explicit TensorSource(std::string subject) : subject_(std::move(subject)) {}
  /// By several threads at once.
  virtual files::Tensor read_part(const std::string& name, const files::Shape& offset,
                                  const files::Shape& count) const = 0;

 private:
  std::string subject_;
};

/// @throws Error(usage) for anything but BHSD and BSHD
TensorLayout parse_layout(std::string_view name);

}  // namespace karat::cases
