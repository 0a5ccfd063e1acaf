// The user's tensors give the figures that the same values give when generated.
#include <gtest/gtest.h>

#include <cmath>

#include "../capture/saved.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

using capture::Captures;
using capture::Job;
using capture::Source;
using cases::HeadValues;
using files::DType;

TEST_F(Captures, GiveTheFiguresOfTheSameValues) {
  const auto captured = opened();
  EXPECT_EQ(captured->facts().jobs, generated->facts().jobs);
  EXPECT_EQ(captured->facts().sigma, generated->facts().sigma);
  const Job job = generated->facts().jobs.front();
  std::vector<JobResult> results;
  for (const Source* source : {captured.get(), generated.get()})
    results.push_back(Workbench(*source, {small_recipe()}, small_options()).measure(job, 1, [] {}));
  EXPECT_EQ(results[0], results[1]);
}

TEST_F(Captures, SavedQueryTilesAreEnough) {
  // Keep the queries of tiles 0 and 7 and the largest magnitudes of the others.
  const video::Tiling tiling({4, 8, 12}, {2, 4, 4});
  std::vector<std::int32_t> kept;
  for (std::int32_t token = 0; token < 384; ++token)
    if (const int tile = tiling.tile_of(std::int64_t{token}); tile == 0 || tile == 7)
      kept.push_back(token);
  const Job job = generated->facts().jobs.front();
  for (const Job& each : generated->facts().jobs)
    for (const video::Branch branch : generated->facts().branches) {
      const HeadValues values = generated->values(cell_of(each, branch), 1);
      std::vector<float> rows, amax(static_cast<std::size_t>(tiling.tile_count()) * 32, 0.0f);
      for (const std::int32_t token : kept)
        rows.insert(rows.end(), &values.q[token * 32], &values.q[token * 32] + 32);
      for (std::int32_t token = 0; token < 384; ++token)
        for (int j = 0; j < 32; ++j) {
          float& largest = amax[tiling.tile_of(std::int64_t{token}) * 32 + j];
          largest = std::max(largest, std::fabs(values.q[token * 32 + j]));
        }
      tensors[name(each, branch, "q")] = make_tensor(DType::f32, {kept.size(), 32}, rows);
      tensors[name(each, branch, "q_tokens")] = make_tensor(DType::i32, {kept.size()}, kept);
      tensors[name(each, branch, "q_tile_amax")] =
          make_tensor(DType::f32, {amax.size() / 32, 32}, amax);
    }
  const auto captured = opened();
  EXPECT_EQ(captured->query_tokens(job), kept);
  // One scale for all of q: right only because the amax of unsaved tiles came along.
  recipe::Recipe coarse = small_recipe();
  coarse.q.group = quant::Group::tensor;
  const MeasureOptions options{.sample = {.rows = 1000, .draws = 4}, .taken_apart = {}};
  const JobResult few = Workbench(*captured, {coarse}, options).measure(job, 1, [] {});
  const JobResult all = Workbench(*generated, {coarse}, options).measure(job, 1, [] {});
  EXPECT_GT(figure(few, 0, Measure::both), 0);
  EXPECT_NE(figure(few, 0, Measure::both), figure(all, 0, Measure::both))
      << "other rows were looked at";
  const auto layout = layout::make_layout(coarse, {4, 8, 12}, 32);
  const HeadValues a = captured->values(cell_of(job, video::Branch::conditional), 1),
                   b = generated->values(cell_of(job, video::Branch::conditional), 1);
  const auto qa = attention::quantise_head(coarse, layout, a.view(), numerics::Path::fast),
             qb = attention::quantise_head(coarse, layout, b.view(), numerics::Path::fast);
  EXPECT_EQ(qa.q.scales, qb.q.scales);
}

}  // namespace
}  // namespace karat::study
