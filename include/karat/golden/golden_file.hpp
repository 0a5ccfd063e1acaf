// A golden file opened for reading: its recipe and layout, and its arrays head by head.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/case/case.hpp"
#include "karat/case/tensor_source.hpp"

namespace karat::golden {

class GoldenFile {
 public:
  /// The hash is checked before anything is read, and every dataset's type and shape before any
  /// value is.
  /// @throws Error(input_output) when the file is damaged or no golden file of this schema
  explicit GoldenFile(const std::filesystem::path& path);

  const std::string& subject() const { return source_->subject(); }
  const recipe::Recipe& recipe() const { return recipe_; }
  video::Extent3 grid() const { return grid_; }
  int text() const { return text_; }
  /// The case the file was made of; its inputs are opened anew.
  cases::Case opened_case() const;
  /// The mask that came with the case, or null.
  const cases::GivenMask* mask() const { return mask_.get(); }
  layout::Setting setting() const {
    return {.grid = grid_, .channels = shape_.channels, .text = text_};
  }
  /// Whether the mask is predicted from each head's Q and K, so that layouts differ.
  bool layout_per_head() const;
  /// The layout of all heads. @throws Error(usage) where each has its own.
  const layout::Layout& layout() const;
  /// The layout of one head, for every recipe; predicted when first asked for. Thread-safe.
  const layout::Layout& layout(std::size_t batch, std::size_t head) const;
  const cases::HeadShape& shape() const { return shape_; }
  const cases::TensorSource& source() const { return *source_; }
  const files::Metadata& metadata() const { return metadata_; }
  bool has(std::string_view stage) const { return source_->find(stage).has_value(); }

  /// Values of a stage ("o", "q_scale", "bound.o_low", "q"), decoded exactly; of k and v those that
  /// the query head `head` reads.
  std::vector<float> values(std::string_view stage, cases::Extents extents, std::size_t batch,
                            std::size_t head) const;
  numerics::FormatId format(std::string_view stage) const;

  std::vector<int> tapped(std::size_t batch, std::size_t head) const;
  attention::BlockTap tap(std::size_t batch, std::size_t head, int query_block) const;
  /// Whether the file holds gradients too (karat make --backward).
  bool has_backward() const { return has("dq"); }
  /// Query blocks of the backward whose inner stages the file holds, and key blocks, these by the
  /// head of k and v.
  std::vector<int> dq_tapped(std::size_t batch, std::size_t head) const;
  std::vector<int> dkv_tapped(std::size_t batch, std::size_t kv_head) const;
  /// Query heads that share one head of k and v.
  std::size_t group() const { return group_; }

  /// The operands once more, from the inputs or the codes.
  attention::QuantisedHead operands(std::size_t batch, std::size_t head) const;

 private:
  void read_setting();
  void read_mask();

  std::unique_ptr<cases::TensorSource> source_;
  files::Metadata metadata_;
  recipe::Recipe recipe_;
  video::Extent3 grid_;
  int text_ = 0;
  std::shared_ptr<const cases::GivenMask> mask_;  ///< null: the recipe says all
  cases::HeadShape shape_;
  /// Tapped blocks by batch entry and head.
  using TappedBlocks = std::map<std::pair<std::size_t, std::size_t>, std::vector<int>>;
  TappedBlocks tapped_, dq_tapped_, dkv_tapped_;
  std::size_t group_ = 1;
  struct Layouts;
  std::shared_ptr<Layouts> layouts_;  ///< computed on demand
};

}  // namespace karat::golden
