// A golden file of two batches and heads over a ragged grid, and candidates with one planted
// difference.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "diagnose_case.hpp"
#include "karat/golden/check.hpp"
#include "karat/golden/export.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::golden {

using Coordinate = std::optional<std::int64_t>;

inline constexpr float kInf = std::numeric_limits<float>::infinity();
inline constexpr video::Extent3 kGrid{3, 5, 7};  // ragged against tiles of 2 x 4 x 4
inline constexpr std::size_t kTokens = 3 * 5 * 7, kChannels = 32, kBatch = 2, kHeads = 2;

/// Tile of a token, row-major over 2 x 2 x 2 tiles.
inline std::int64_t tile_of(std::int64_t token) {
  const std::int64_t t = token / 35, h = token / 7 % 5, w = token % 7;
  return (t / 2 * 2 + h / 4) * 2 + w / 4;
}

inline std::size_t at(std::size_t b, std::size_t h, std::size_t token, std::size_t channel) {
  return ((b * kHeads + h) * kTokens + token) * kChannels + channel;
}
inline std::size_t at(std::size_t b, std::size_t h, std::size_t token) {
  return (b * kHeads + h) * kTokens + token;
}

inline numerics::FormatId format_of(const files::Tensor& tensor) {
  return tensor.dtype == files::DType::u8 ? numerics::FormatId::e4m3
                                          : cases::format_of(tensor.dtype);
}
inline std::uint32_t code_at(const files::Tensor& tensor, std::size_t e) {
  if (tensor.dtype == files::DType::f32) return std::bit_cast<std::uint32_t>(tensor.as<float>()[e]);
  return files::info(tensor.dtype).size == 1 ? tensor.as<std::uint8_t>()[e]
                                             : tensor.as<std::uint16_t>()[e];
}
inline float value_at(const files::Tensor& tensor, std::size_t e) {
  if (tensor.dtype == files::DType::f32) return tensor.as<float>()[e];
  return numerics::decode(code_at(tensor, e), format_of(tensor));
}
inline void put_code(files::Tensor& tensor, std::size_t e, std::uint32_t code) {
  if (tensor.dtype == files::DType::f32)
    tensor.as<float>()[e] = std::bit_cast<float>(code);
  else if (files::info(tensor.dtype).size == 1)
    tensor.as<std::uint8_t>()[e] = static_cast<std::uint8_t>(code);
  else
    tensor.as<std::uint16_t>()[e] = static_cast<std::uint16_t>(code);
}
inline void put_value(files::Tensor& tensor, std::size_t e, float value) {
  if (std::isinf(value) && tensor.dtype == files::DType::bf16)
    return put_code(tensor, e, std::bit_cast<std::uint32_t>(value) >> 16);
  put_code(tensor, e,
           tensor.dtype == files::DType::f32 ? std::bit_cast<std::uint32_t>(value)
                                             : numerics::encode(value, format_of(tensor)));
}

/// What stands in the golden file, opened once for all tests of a suite.
struct Right {
  std::filesystem::path folder, path;
  std::optional<GoldenFile> golden;
  files::Tensors stages;
};

class CheckCase : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    right_ = new Right;
    right_->folder =
        std::filesystem::path(testing::TempDir()) / ("karat_check_" + std::to_string(getpid()));
    std::filesystem::create_directories(right_->folder);
    right_->path = right_->folder / "g.h5";
    make(cases::make_case(
             small("fpsattention"),
             cases::generated_inputs(
                 {.grid = kGrid, .batch = kBatch, .heads = kHeads, .head_dim = kChannels}, 0)),
         {.taps = "all", .threads = 2}, right_->path);
    right_->golden.emplace(right_->path);
    right_->stages = exported_stages(*right_->golden);
    for (auto& [name, tensor] : exported_inputs(*right_->golden)) right_->stages[name] = tensor;
  }
  static void TearDownTestSuite() {
    right_->golden.reset();
    std::filesystem::remove_all(right_->folder);
    delete right_;
  }

  static const GoldenFile& golden() { return *right_->golden; }
  static CheckReport compared(const files::Tensors& candidate, const CheckOptions& options = {}) {
    files::write_safetensors(right_->folder / "c.safetensors", candidate);
    return check(golden(), *cases::TensorSource::open(right_->folder / "c.safetensors"), options);
  }
  static const StageReport& stage(const CheckReport& report, std::string_view name) {
    const auto found = std::ranges::find(report.stages, name, &StageReport::stage);
    if (found == report.stages.end()) throw Error(ErrorKind::internal, std::string(name), "no row");
    return *found;
  }
  /// All stages equal, but for the named one.
  static void expect_only(const CheckReport& report, std::string_view name, Verdict verdict) {
    EXPECT_EQ(report.stages.size(), 19u);
    for (const StageReport& row : report.stages) {
      EXPECT_EQ(row.verdict, row.stage == name ? verdict : Verdict::equal)
          << name << ": " << row.stage;
      EXPECT_EQ(row.differing, row.stage == name ? 1 : 0) << name << ": " << row.stage;
      EXPECT_EQ(row.first.has_value(), row.stage == name) << name << ": " << row.stage;
    }
    EXPECT_EQ(report.passed, verdict != Verdict::differs) << name;
    const StageReport* first = report.first_difference();
    EXPECT_EQ(first == nullptr ? "" : first->stage, verdict == Verdict::differs ? name : "");
  }
  static std::int64_t query_block_of(std::size_t b, std::size_t h, std::int64_t token) {
    const layout::Layout& layout = golden().layout(b, h);
    const auto& blocks = layout.blocks.query_blocks;
    for (std::size_t i = 0; i < blocks.size(); ++i)
      for (std::int64_t at = blocks[i].begin; at < blocks[i].end; ++at)
        if (layout.order.token_at[at] == token) return static_cast<std::int64_t>(i);
    return -1;
  }
  static files::Tensors stages() { return right_->stages; }
  /// A value of the stage that no correct kernel writes there.
  static float far_from(float value) { return std::abs(value) < 8 ? 64.0f : 0.0f; }

  static inline Right* right_ = nullptr;
};

}  // namespace karat::golden
