// A case asked field by field is the case asked in structs; what contradicts is refused.
#include "karat/case/request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>

#include "karat/case/memory.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/json.hpp"
#include "karat/video/models.hpp"

namespace karat::cases {
namespace {

using files::FieldValue;
using testing::HasSubstr;

template <typename Request>
void write(std::span<const files::RequestField<Request>> fields, Request& request,
           std::string_view name, const FieldValue& value) {
  const auto row = std::ranges::find(fields, name, &files::RequestField<Request>::name);
  ASSERT_NE(row, fields.end()) << name;
  row->write(request, value, "workload." + std::string(name));
}

std::string problem(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    return error.what();
  }
  return "nothing thrown";
}

TEST(WorkloadRequest, EveryFieldLandsInTheInputs) {
  WorkloadRequest asked;
  write(workload_fields(), asked, "kind", "one_hot");
  write(workload_fields(), asked, "head_dim", std::int64_t{16});
  write(workload_fields(), asked, "heads", std::int64_t{4});
  write(workload_fields(), asked, "kv_heads", std::int64_t{2});
  write(workload_fields(), asked, "batch", std::int64_t{3});
  write(workload_fields(), asked, "head_kind", "sink");
  write(token_fields(), asked, "grid", std::array{2, 3, 5});
  write(token_fields(), asked, "text", std::int64_t{7});
  write(token_fields(), asked, "sigma", 0.25);
  write(token_fields(), asked, "seed", std::int64_t{9});
  const auto inputs = generated_inputs(asked);
  const auto same = generated_inputs({.kind = video::WorkloadKind::one_hot,
                                      .grid = {2, 3, 5},
                                      .text = 7,
                                      .batch = 3,
                                      .heads = 4,
                                      .head_dim = 16,
                                      .seed = 9,
                                      .sigma = 0.25,
                                      .head_kind = video::HeadKind::sink},
                                     std::size_t{0}, std::size_t{2});
  EXPECT_EQ(inputs->shape().tokens(), 2u * 3 * 5 + 7);
  EXPECT_EQ(inputs->shape().group(), 2u);
  EXPECT_EQ(inputs->source().dump(), same->source().dump());
  EXPECT_EQ(inputs->values(2, 3, 1).q, same->values(2, 3, 1).q);
}

TEST(WorkloadRequest, AModelGivesGridAndChannelsUnlessTold) {
  WorkloadRequest asked;
  write(workload_fields(), asked, "model", "wan2.1-1.3b");
  const video::Model& model = video::find_model("wan2.1-1.3b");
  EXPECT_EQ(generated_inputs(asked)->shape().grid,
            video::token_grid(model, model.resolutions.front()));
  EXPECT_EQ(generated_inputs(asked)->shape().channels, static_cast<std::size_t>(model.head_dim));
  write(workload_fields(), asked, "resolution", "832x480x17");
  EXPECT_EQ(generated_inputs(asked)->shape().grid, (video::Extent3{5, 30, 52}));
  write(token_fields(), asked, "grid", std::array{1, 2, 3});
  EXPECT_EQ(generated_inputs(asked)->shape().grid, (video::Extent3{1, 2, 3}));
}

TEST(WorkloadRequest, WhatContradictsIsRefused) {
  EXPECT_THAT(problem([] { generated_inputs(WorkloadRequest{.resolution = "480p"}); }),
              HasSubstr("needs a model"));
  EXPECT_THAT(problem([] { generated_inputs(WorkloadRequest{.heads = 4, .kv_heads = 3}); }),
              HasSubstr("do not divide"));
  EXPECT_THAT(problem([] { generated_inputs(WorkloadRequest{.heads = 4}, 1); }),
              HasSubstr("--heads"));
  EXPECT_THAT(problem([] { generated_inputs(WorkloadRequest{.kv_heads = 2}, 1); }),
              HasSubstr("--kv-heads"));
}

TEST(CaseRequest, OneHeadIsTheHeadOfThatNumberInAll) {
  CaseRequest asked{.recipe = "dense_f32",
                    .workload = {.heads = 3, .grid = video::Extent3{1, 4, 4}}};
  const Case all = choose_case(asked).of;
  asked.workload.heads.reset();
  asked.head = 2;
  const Case one = choose_case(asked).of;
  EXPECT_EQ(one.shape().heads, 1u);
  EXPECT_EQ(one.inputs->values(0, 0, 1).k, all.inputs->values(0, 2, 1).k);
}

TEST(CaseRequest, WhatContradictsIsRefused) {
  const auto refused = [](const CaseRequest& asked) {
    return problem([&] { choose_case(asked); });
  };
  const WorkloadRequest tiny{.grid = video::Extent3{1, 2, 2}};
  EXPECT_THAT(refused({.workload = tiny}), HasSubstr("--recipe: missing"));
  EXPECT_THAT(refused({.recipe = "dense_f32"}), HasSubstr("nothing to compute"));
  EXPECT_THAT(refused({.recipe = "dense_f32", .steps = 3, .workload = tiny}),
              HasSubstr("without --step"));
  EXPECT_THAT(refused({.recipe = "dense_f32", .step = 3, .steps = 3, .workload = tiny}),
              HasSubstr("3 of 3 steps"));
  EXPECT_THAT(refused({.recipe = "dense_f32", .schedule = "s.json", .workload = tiny}),
              HasSubstr("exclude each other"));
  EXPECT_THAT(refused({.schedule = "s.json", .workload = tiny}), HasSubstr("no step is given"));
  EXPECT_THAT(refused({.recipe = "dense_f32", .in = ","}), HasSubstr("names no file"));
  EXPECT_THAT(refused({.recipe = "dense_f32", .in = "q.npy", .workload = {.sigma = 0.5}}),
              HasSubstr("--sigma"));
  EXPECT_THAT(refused({.recipe = "dense_f32", .workload = tiny, .mask_order = MaskOrder::tokens}),
              HasSubstr("without --mask"));
  EXPECT_THAT(refused({.recipe = "sta_bf16", .workload = tiny, .mask = "m.json"}),
              HasSubstr("--layer"));
}

TEST(Tokens, GridAndTextMakeUpTheRows) {
  InputShape shape;
  set_tokens(shape, std::nullopt, 3, 10, "q has");
  EXPECT_EQ(shape.grid, (video::Extent3{1, 1, 7}));
  EXPECT_EQ(shape.tokens(), 10u);
  const auto refused = [&](std::optional<video::Extent3> grid, int text) {
    return problem([&] { set_tokens(shape, grid, text, 10, "q has"); });
  };
  EXPECT_THAT(refused(video::Extent3{1, 2, 4}, 1), HasSubstr("where q has 10"));
  EXPECT_THAT(refused(video::Extent3{1, -2, -5}, 0), HasSubstr("below 1"));
  EXPECT_THAT(refused(std::nullopt, 10), HasSubstr("10 of 10"));
  EXPECT_THAT(refused(std::nullopt, -1), HasSubstr("text"));
}

}  // namespace
}  // namespace karat::cases
