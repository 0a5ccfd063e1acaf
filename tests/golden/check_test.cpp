// The comparison checked by sabotage: one planted difference per stage, verdict and special value.
// Each must be found, counted and located, and everything else must stay equal.
#include "karat/golden/check.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "diagnose_case.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/case/stages.hpp"
#include "karat/golden/export.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"

namespace karat::golden {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Coordinate = std::optional<std::int64_t>;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr video::Extent3 kGrid{3, 5, 7};  // ragged against tiles of 2 x 4 x 4
constexpr std::size_t kTokens = 3 * 5 * 7, kChannels = 32, kBatch = 2, kHeads = 2;

/// Tile of a token, row-major over 2 x 2 x 2 tiles.
std::int64_t tile_of(std::int64_t token) {
  const std::int64_t t = token / 35, h = token / 7 % 5, w = token % 7;
  return (t / 2 * 2 + h / 4) * 2 + w / 4;
}

std::size_t at(std::size_t b, std::size_t h, std::size_t token, std::size_t channel) {
  return ((b * kHeads + h) * kTokens + token) * kChannels + channel;
}
std::size_t at(std::size_t b, std::size_t h, std::size_t token) {
  return (b * kHeads + h) * kTokens + token;
}

numerics::FormatId format_of(const files::Tensor& tensor) {
  return tensor.dtype == files::DType::u8 ? numerics::FormatId::e4m3
                                          : cases::format_of(tensor.dtype);
}
std::uint32_t code_at(const files::Tensor& tensor, std::size_t e) {
  if (tensor.dtype == files::DType::f32) return std::bit_cast<std::uint32_t>(tensor.as<float>()[e]);
  return files::info(tensor.dtype).size == 1 ? tensor.as<std::uint8_t>()[e]
                                             : tensor.as<std::uint16_t>()[e];
}
float value_at(const files::Tensor& tensor, std::size_t e) {
  if (tensor.dtype == files::DType::f32) return tensor.as<float>()[e];
  return numerics::decode(code_at(tensor, e), format_of(tensor));
}
void put_code(files::Tensor& tensor, std::size_t e, std::uint32_t code) {
  if (tensor.dtype == files::DType::f32)
    tensor.as<float>()[e] = std::bit_cast<float>(code);
  else if (files::info(tensor.dtype).size == 1)
    tensor.as<std::uint8_t>()[e] = static_cast<std::uint8_t>(code);
  else
    tensor.as<std::uint16_t>()[e] = static_cast<std::uint16_t>(code);
}
void put_value(files::Tensor& tensor, std::size_t e, float value) {
  if (std::isinf(value) && tensor.dtype == files::DType::bf16)
    return put_code(tensor, e, std::bit_cast<std::uint32_t>(value) >> 16);
  put_code(tensor, e,
           tensor.dtype == files::DType::f32 ? std::bit_cast<std::uint32_t>(value)
                                             : numerics::encode(value, format_of(tensor)));
}

/// What stands in the golden file, opened once for all tests.
struct Right {
  fs::path folder, path;
  std::optional<GoldenFile> golden;
  files::Tensors stages;
};

class Check : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    right_ = new Right;
    right_->folder = fs::path(testing::TempDir()) / ("karat_check_" + std::to_string(getpid()));
    fs::create_directories(right_->folder);
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
    fs::remove_all(right_->folder);
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

  static Right* right_;
};
Right* Check::right_ = nullptr;

TEST_F(Check, TheGoldenStagesAreEqual) {
  const CheckReport report = compared(stages());
  EXPECT_TRUE(report.passed);
  EXPECT_EQ(report.stages.size(), 19u);
  for (const StageReport& row : report.stages) {
    EXPECT_EQ(row.verdict, Verdict::equal) << row.stage;
    EXPECT_GT(row.compared, 0) << row.stage;
    EXPECT_EQ(row.ulp_histogram[0], row.compared) << row.stage;
    EXPECT_EQ(row.golden.zero, row.candidate.zero) << row.stage;
    EXPECT_EQ(row.relative_l2, 0) << row.stage;
    EXPECT_FALSE(row.forced) << row.stage;
  }
}

TEST_F(Check, AStageWithARowPerTokenNamesTokenAndChannel) {
  constexpr std::size_t kB = 1, kH = 0, kToken = 52, kChannel = 17;
  for (const char* name : {"q", "k", "v", "q_codes", "k_codes", "v_codes", "o", "m", "l", "lse"}) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[name];
    const bool matrix = tensor.shape.size() == 4;
    const std::size_t e = matrix ? at(kB, kH, kToken, kChannel) : at(kB, kH, kToken);
    const float before = value_at(tensor, e), after = far_from(before);
    put_value(tensor, e, after);
    const CheckReport report = compared(candidate);
    expect_only(report, name, Verdict::differs);
    const StageReport& row = stage(report, name);
    EXPECT_EQ(row.outside, 1) << name;
    EXPECT_EQ(row.compared, static_cast<std::int64_t>(tensor.element_count())) << name;
    ASSERT_TRUE(row.first && row.worst) << name;
    const Location& where = row.first->at;
    EXPECT_EQ(where.batch, kB) << name;
    EXPECT_EQ(where.head, kH) << name;
    EXPECT_EQ(where.token, Coordinate(kToken)) << name;
    EXPECT_EQ(where.channel, matrix ? Coordinate(kChannel) : Coordinate()) << name;
    EXPECT_EQ(where.query_tile, Coordinate(tile_of(kToken))) << name;
    EXPECT_EQ(where.query_block, Coordinate(query_block_of(kB, kH, kToken))) << name;
    EXPECT_FALSE(where.group || where.key_token || where.key_tile || where.key_block) << name;
    EXPECT_EQ(row.first->golden, before) << name;
    EXPECT_EQ(row.first->candidate, after) << name;
    EXPECT_EQ(row.worst->at.token, Coordinate(kToken)) << name;
    EXPECT_GT(row.max_ulp, 0) << name;
    EXPECT_GT(row.relative_l2, 0) << name;
  }
}

TEST_F(Check, AScaleNamesItsGroup) {
  constexpr std::size_t kB = 0, kH = 1, kGroup = 3;
  for (const char* name : {"q_scale", "k_scale", "v_scale"}) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[name];
    const std::size_t e = (kB * kHeads + kH) * tensor.shape.back() + kGroup;
    const float before = tensor.as<float>()[e];
    tensor.as<float>()[e] = std::nextafter(before, 1e9f);
    const CheckReport report = compared(candidate);
    expect_only(report, name, Verdict::differs);
    const StageReport& row = stage(report, name);
    EXPECT_TRUE(row.fixed) << name;
    EXPECT_EQ(row.max_ulp, 1) << name;
    EXPECT_EQ(row.ulp_histogram[1], 1) << name;
    EXPECT_EQ(row.ulp_histogram[0], row.compared - 1) << name;
    ASSERT_TRUE(row.first) << name;
    EXPECT_EQ(row.first->at.batch, kB) << name;
    EXPECT_EQ(row.first->at.head, kH) << name;
    EXPECT_EQ(row.first->at.group, Coordinate(kGroup)) << name;
    EXPECT_FALSE(row.first->at.token || row.first->at.channel || row.first->at.query_block) << name;
  }
}

/// A tapped query block, and one of its rows, columns, visits and channels.
struct TapPlace {
  int block = 3;
  std::size_t row = 5, column = 37, channel = 9;
};

TEST_F(Check, ATappedStageNamesQueryAndKey) {
  constexpr std::size_t kB = 1, kH = 1;
  const TapPlace place;
  const layout::Layout& layout = golden().layout(kB, kH);
  const attention::BlockTap tap = golden().tap(kB, kH, place.block);
  const auto rows = static_cast<std::size_t>(tap.queries.size());
  const std::size_t columns = tap.key_position.size(), last = tap.key_block.size() - 1;
  ASSERT_GT(rows, place.row);
  ASSERT_GT(columns, place.column);
  const std::int64_t token = layout.order.token_at[tap.queries.begin + place.row];
  const std::int64_t key = layout.key_order.token_at[tap.key_position[place.column]];
  const auto block_with = [&](std::int64_t position) {
    const auto& blocks = layout.blocks.key_blocks;
    return std::ranges::find_if(
               blocks, [&](video::Range r) { return r.begin <= position && position < r.end; }) -
           blocks.begin();
  };
  struct Tapped {
    const char *name, *stage;
    std::size_t element;
    bool by_column, by_channel, forced;
  };
  const std::size_t pair = place.row * columns + place.column, visit = last * rows + place.row;
  const Tapped kTapped[] = {
      {"a", "a", pair, true, false, false},
      {"s", "s", pair, true, false, true},
      {"p_codes", "p_codes", pair, true, false, true},
      {"m", "m by block", visit, false, false, true},
      {"l", "l by block", visit, false, false, true},
      {"o", "o by block", visit * kChannels + place.channel, false, true, true},
  };
  for (const Tapped& planted : kTapped) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[cases::tap_name(kB, kH, place.block, planted.name)];
    put_value(tensor, planted.element, far_from(value_at(tensor, planted.element)));
    const CheckReport report = compared(candidate);
    expect_only(report, planted.stage, Verdict::differs);
    const StageReport& row = stage(report, planted.stage);
    EXPECT_EQ(row.outside, 1) << planted.stage;
    ASSERT_TRUE(row.first) << planted.stage;
    const Location& where = row.first->at;
    EXPECT_EQ(where.batch, kB) << planted.stage;
    EXPECT_EQ(where.head, kH) << planted.stage;
    EXPECT_EQ(where.token, Coordinate(token)) << planted.stage;
    EXPECT_EQ(where.query_tile, Coordinate(tile_of(token))) << planted.stage;
    EXPECT_EQ(where.query_block, Coordinate(place.block)) << planted.stage;
    EXPECT_EQ(where.channel, planted.by_channel ? Coordinate(place.channel) : Coordinate())
        << planted.stage;
    EXPECT_EQ(where.key_token, planted.by_column ? Coordinate(key) : Coordinate()) << planted.stage;
    EXPECT_EQ(where.key_tile, planted.by_column ? Coordinate(tile_of(key)) : Coordinate())
        << planted.stage;
    EXPECT_EQ(where.key_block,
              Coordinate(planted.by_column ? block_with(tap.key_position[place.column])
                                           : tap.key_block[last]))
        << planted.stage;
    ASSERT_EQ(row.forced.has_value(), planted.forced) << planted.stage;
    EXPECT_EQ(row.forced.value_or(Forced{}).outside, planted.forced ? 1 : 0) << planted.stage;
  }
}

/// The element whose legal range reaches above the golden value.
std::size_t freed(const files::Tensor& golden, const files::Tensor& high) {
  for (std::size_t e = 0; e < golden.element_count(); ++e)
    if (value_at(high, e) > value_at(golden, e)) return e;
  return golden.element_count();
}

TEST_F(Check, WithinIsWhatTheLegalRangeHoldsAndNoMore) {
  for (const char* name : {"l", "lse", "o"}) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[name];
    const files::Tensor high = golden().source().read("bound/" + std::string(name) + "_high");
    const std::size_t e = freed(tensor, high);
    ASSERT_LT(e, tensor.element_count()) << name;
    const float before = value_at(tensor, e);
    put_code(tensor, e, code_at(high, e));
    CheckReport report = compared(candidate);
    expect_only(report, name, Verdict::within);
    EXPECT_FALSE(stage(report, name).fixed) << name;
    EXPECT_EQ(stage(report, name).outside, 0) << name;
    EXPECT_EQ(stage(report, name).first->golden, before) << name;
    EXPECT_EQ(stage(report, name).first->high, value_at(high, e)) << name;
    const bool negative = value_at(high, e) < 0;
    put_code(tensor, e, code_at(high, e) + (negative ? -1 : 1));  // the next value above
    report = compared(candidate);
    expect_only(report, name, Verdict::differs);
    EXPECT_EQ(stage(report, name).outside, 1) << name;
    EXPECT_EQ(stage(report, name).first->high, value_at(high, e)) << name;
  }
}

// A value within its range stands before one outside: the report leads to the one outside.
TEST_F(Check, FirstIsTheFirstOutsideAndWorstTheFarthestOfThem) {
  files::Tensors candidate = stages();
  files::Tensor& o = candidate["o"];
  const files::Tensor high = golden().source().read("bound/o_high");
  const std::size_t within = freed(o, high);
  put_code(o, within, code_at(high, within));
  const std::size_t near = at(1, 0, 20, 3), far = at(1, 1, 90, 30);
  ASSERT_LT(within, near);
  put_value(o, near, value_at(o, near) + 1);
  put_value(o, far, value_at(o, far) + 1e6f);
  const StageReport row = stage(compared(candidate), "o");
  EXPECT_EQ(row.differing, 3);
  EXPECT_EQ(row.outside, 2);
  EXPECT_EQ(row.first->at.token, Coordinate(20));
  EXPECT_EQ(row.worst->at.token, Coordinate(90));
  EXPECT_EQ(row.worst->ulp, row.max_ulp);
}

TEST_F(Check, UlpsAreCountedInTheStagesFormat) {
  for (const int codes : {1, 2, 3, 4, 7, 8}) {
    files::Tensors candidate = stages();
    const std::size_t e = at(0, 0, 11, 4);
    put_code(candidate["o"], e, code_at(candidate["o"], e) + codes);
    const StageReport row = stage(compared(candidate), "o");
    EXPECT_EQ(row.max_ulp, codes);
    EXPECT_EQ(row.ulp_histogram[std::bit_width(static_cast<unsigned>(codes))], 1) << codes;
    EXPECT_EQ(row.ulp_histogram[0], row.compared - 1) << codes;
  }
}

/// A value planted in a stage where it is not expected, and what is counted.
struct Special {
  const char* what;
  const char* stage;
  float value;
  std::int64_t Specials::*counted;
};

TEST_F(Check, SpecialValuesAreCounted) {
  const float nan = std::nanf("");
  const Special kSpecials[] = {
      {"NaN in the output", "o", nan, &Specials::nan},
      {"NaN in lse", "lse", nan, &Specials::nan},
      {"NaN code", "q_codes", nan, &Specials::nan},
      {"infinity in the output", "o", kInf, &Specials::infinite},
      {"minus infinity in lse", "lse", -kInf, &Specials::infinite},
      {"saturated code", "k_codes", 448, &Specials::saturated},
      {"saturated negative code", "v_codes", -448, &Specials::saturated},
      {"zero in the output", "o", 0, &Specials::zero},
      {"minus zero in the output", "o", -0.0f, &Specials::zero},
  };
  for (const Special& special : kSpecials) {
    files::Tensors candidate = stages();
    files::Tensor& tensor = candidate[special.stage];
    const std::size_t token = at(0, 1, 77);
    const std::size_t e = tensor.shape.size() == 4 ? token * kChannels + 6 : token;
    ASSERT_NE(value_at(tensor, e), special.value);
    put_value(tensor, e, special.value);
    const CheckReport report = compared(candidate);
    expect_only(report, special.stage, Verdict::differs);
    const StageReport& row = stage(report, special.stage);
    for (std::int64_t Specials::*kind :
         {&Specials::nan, &Specials::infinite, &Specials::saturated, &Specials::zero})
      EXPECT_EQ(row.candidate.*kind, row.golden.*kind + (kind == special.counted)) << special.what;
    EXPECT_EQ(row.max_ulp == std::numeric_limits<std::int64_t>::max(), std::isnan(special.value))
        << special.what;
    EXPECT_EQ(std::isfinite(row.relative_l2), std::isfinite(special.value)) << special.what;
  }
}

TEST_F(Check, ZerosOfOtherSignDiffer) {
  const fs::path path = right_->folder / "zeros.h5";
  make(cases::make_case(small("fpsattention"),
                        cases::generated_inputs({.kind = video::WorkloadKind::zero_tiles,
                                                 .grid = kGrid,
                                                 .head_dim = kChannels,
                                                 .tile = {2, 4, 4}},
                                                0)),
       {.taps = "none", .threads = 2}, path);
  const GoldenFile zeros(path);
  files::Tensors candidate = exported_stages(zeros);
  files::Tensor& codes = candidate["q_codes"];
  std::size_t e = 0;
  while (e < codes.element_count() && value_at(codes, e) != 0) ++e;
  ASSERT_LT(e, codes.element_count());
  put_code(codes, e, code_at(codes, e) ^ 0x80);
  files::write_safetensors(right_->folder / "z.safetensors", candidate);
  const CheckReport report =
      check(zeros, *cases::TensorSource::open(right_->folder / "z.safetensors"));
  const StageReport& row = stage(report, "q_codes");
  EXPECT_EQ(row.verdict, Verdict::differs);
  EXPECT_EQ(row.differing, 1);
  EXPECT_EQ(row.candidate.zero, row.golden.zero);
  EXPECT_EQ(row.max_ulp, 1);
  EXPECT_EQ(row.relative_l2, 0);
  EXPECT_NE(std::signbit(row.first->golden), std::signbit(row.first->candidate));
}

TEST_F(Check, SubnormalsAreReadAsTheyAre) {
  files::Tensors candidate = stages();
  candidate["l"].as<float>()[at(0, 0, 3)] = 1e-40f;
  const std::string tap = cases::tap_name(0, 0, 2, "s");
  candidate[tap].as<float>()[4] = -1e-44f;
  const CheckReport report = compared(candidate);
  EXPECT_EQ(stage(report, "l").first->candidate, 1e-40f);
  EXPECT_EQ(stage(report, "l").candidate.zero, stage(report, "l").golden.zero);
  EXPECT_EQ(stage(report, "s").first->candidate, -1e-44f);
  // The smallest subnormal code flushed to zero: one more zero, one ulp away.
  candidate = stages();
  const std::size_t e = at(1, 1, 8, 8);
  put_code(candidate["v_codes"], e, 0x00);
  const StageReport flushed = stage(compared(candidate), "v_codes");
  EXPECT_EQ(flushed.candidate.zero, flushed.golden.zero + 1);
}

TEST_F(Check, ASelectionLooksNowhereElse) {
  files::Tensors candidate = stages();
  const std::size_t token = 52;
  put_value(candidate["o"], at(0, 1, token, 2), 1e4f);
  const auto block = static_cast<int>(query_block_of(0, 1, token));
  const auto o_with = [&](const Selection& select) {
    CheckOptions options;
    options.select = select;
    return stage(compared(candidate, options), "o");
  };
  EXPECT_EQ(o_with({.batch = 0, .head = 1, .block = {}}).verdict, Verdict::differs);
  EXPECT_EQ(o_with({.batch = 0, .head = 0, .block = {}}).verdict, Verdict::equal);
  EXPECT_EQ(o_with({.batch = 1, .head = 1, .block = {}}).verdict, Verdict::equal);
  EXPECT_EQ(o_with({.batch = {}, .head = 1, .block = block}).verdict, Verdict::differs);
  const StageReport elsewhere = o_with({.batch = {}, .head = {}, .block = block == 0 ? 1 : 0});
  EXPECT_EQ(elsewhere.verdict, Verdict::equal);
  EXPECT_LT(elsewhere.compared, static_cast<std::int64_t>(kBatch * kHeads * kTokens * kChannels));
}

TEST_F(Check, TiledRowsAndOtherLayoutsAreReadAsTold) {
  const files::Tensor o = stages()["o"];
  files::Tensor tiled = o, bshd = o;
  bshd.shape = {kBatch, kTokens, kHeads, kChannels};
  const auto& token_at = golden().layout().order.token_at;
  for (std::size_t b = 0; b < kBatch; ++b)
    for (std::size_t h = 0; h < kHeads; ++h)
      for (std::size_t s = 0; s < kTokens; ++s)
        for (std::size_t j = 0; j < kChannels; ++j) {
          put_code(tiled, at(b, h, s, j), code_at(o, at(b, h, token_at[s], j)));
          put_code(bshd, ((b * kTokens + s) * kHeads + h) * kChannels + j,
                   code_at(o, at(b, h, s, j)));
        }
  CheckOptions in_order;
  in_order.order = RowOrder::tiled;
  EXPECT_TRUE(compared({{"o", tiled}}, in_order).passed);
  EXPECT_FALSE(compared({{"o", tiled}}).passed);
  CheckOptions in_layout;
  in_layout.layout = cases::TensorLayout::bshd;
  EXPECT_TRUE(compared({{"o", bshd}}, in_layout).passed);
  put_value(tiled, at(1, 0, 40, 1), 1e4f);
  EXPECT_EQ(stage(compared({{"o", tiled}}, in_order), "o").first->at.token,
            Coordinate(token_at[40]));
}

TEST_F(Check, ErrorsOfTheOutputStandByTileAndAgainstTheTruth) {
  files::Tensors candidate = stages();
  const std::size_t token = 52;
  const OutputErrors right = compared(candidate).outputs;
  EXPECT_GT(right.truth_rows, 0);
  EXPECT_EQ(right.golden_squared, right.candidate_squared);
  for (std::size_t s = 0; s < kTokens; ++s) put_value(candidate["o"], at(1, 0, s, 0), 100);
  const OutputErrors wrong = compared(candidate).outputs;
  EXPECT_EQ(wrong.golden_squared, right.golden_squared);
  EXPECT_GT(wrong.candidate_squared, right.candidate_squared + 1e4 * static_cast<double>(1));
  candidate = stages();
  put_value(candidate["o"], at(1, 0, token, 5), 1e4f);
  std::int64_t compared_values = 0;
  for (const TileError& tile : compared(candidate).outputs.tiles) {
    const bool here = tile.batch == 1 && tile.head == 0 && tile.tile == tile_of(token);
    EXPECT_EQ(tile.differing, here ? 1 : 0) << tile.batch << tile.head << tile.tile;
    EXPECT_EQ(tile.outside, here ? 1 : 0) << tile.batch << tile.head << tile.tile;
    compared_values += tile.compared;
  }
  EXPECT_EQ(compared_values, static_cast<std::int64_t>(kBatch * kHeads * kTokens * kChannels));
}

// With any order allowed, what roundings of mean zero hardly ever do is legal, and counted.
TEST_F(Check, LegalButUnlikelyValuesAreCounted) {
  CheckOptions options;
  options.allowed.summation = bounds::Summation::any_order;
  bounds::Freedom freedom = bounds::freedom_of(golden().recipe(), options.allowed);
  const auto ranges = [&](bounds::Summation summation) {
    freedom.summation = summation;
    return bounds::attend_with_bounds(golden().recipe(), golden().layout(0, 0),
                                      golden().operands(0, 0), {}, 1, {}, freedom)
        .bounds;
  };
  const auto worst = ranges(bounds::Summation::any_order);
  const auto likely = ranges(bounds::Summation::likely);
  files::Tensors candidate = stages();
  std::span<float> l = candidate["l"].as<float>();
  std::size_t planted = 0;
  while (planted < kTokens && worst.l_high[planted] <= likely.l_high[planted]) ++planted;
  ASSERT_LT(planted, kTokens);
  l[at(0, 0, planted)] = worst.l_high[planted];
  const StageReport unlikely = stage(compared(candidate, options), "l");
  EXPECT_EQ(unlikely.verdict, Verdict::within);
  EXPECT_EQ(unlikely.unlikely, Coordinate(1));
  l[at(0, 0, planted)] = likely.l_high[planted];
  EXPECT_EQ(stage(compared(candidate, options), "l").unlikely, Coordinate(0));
  l[at(0, 0, planted)] = std::nextafter(worst.l_high[planted], kInf);
  EXPECT_EQ(stage(compared(candidate, options), "l").verdict, Verdict::differs);
}

TEST_F(Check, OnlyStagesOfBothAreCompared) {
  const CheckReport report = compared({{"o", stages()["o"]}, {"mine", stages()["lse"]}});
  EXPECT_TRUE(report.passed);
  ASSERT_EQ(report.stages.size(), 1u);
  EXPECT_EQ(report.stages[0].stage, "o");
}

/// The message with which a comparison is refused.
std::string refusal(const std::function<void()>& compare) {
  try {
    compare();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "no refusal";
}

TEST_F(Check, WhatCannotBeComparedIsRefused) {
  const auto with = [&](const char* name, const files::Tensor& tensor) {
    files::Tensors candidate;
    candidate[name] = tensor;
    return refusal([&] { compared(candidate); });
  };
  const files::Tensor o = stages()["o"], codes = stages()["q_codes"];
  EXPECT_THAT(with("mine", o), HasSubstr("holds mine but no stage of"));
  EXPECT_THAT(with("o", files::make_tensor(files::DType::f32, {2, 2, kTokens - 1, kChannels})),
              HasSubstr("2 x 2 x 104 x 32 (batch, head, row, channel) where the golden file is "
                        "2 x 2 x 105 x 32"));
  EXPECT_THAT(with("o", files::make_tensor(files::DType::f32, {2, kTokens, 2, kChannels})),
              HasSubstr("try the other --layout"));
  EXPECT_THAT(with("v", files::make_tensor(files::DType::f32, {2, 2, kChannels, kTokens})),
              HasSubstr("try --v-layout BHDS"));
  EXPECT_THAT(with("o", files::make_tensor(files::DType::i64, o.shape)),
              HasSubstr("is stored as i64 where the golden file has bf16"));
  EXPECT_THAT(with("q_codes", files::make_tensor(files::DType::f32, codes.shape)),
              HasSubstr("store the codes as uint8"));
  EXPECT_THAT(with("tap.0.0.1.s", files::make_tensor(files::DType::f32, {3})),
              HasSubstr("3 values where the golden file has"));
  CheckOptions options;
  options.select.head = 2;
  EXPECT_THAT(refusal([&] { compared({{"o", o}}, options); }), HasSubstr("head 2 of 2"));
}

}  // namespace
}  // namespace karat::golden
