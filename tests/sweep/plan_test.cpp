// Plans: the list, what it rests on, and what is refused.
#include "karat/sweep/plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "folder.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::sweep {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr const char* kRecipe =
    R"({"base": "fpsattention", "name": "small", "mask": {"tile": [2, 4, 4], "window": [1, 3, 3]},
        "q": {"tile": [2, 4, 4]}, "k": {"tile": [2, 4, 4]}, "block": {"q": 16, "k": 32},
        "pv": {"promote_every": 32}})";

/// The one line of an Error.
std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "nothing was refused";
}

class PlanTest : public ::testing::Test {
 protected:
  PlanTest() { files::write_file(folder / "small.json", std::string_view(kRecipe)); }
  std::string refused(const std::string& body) {
    return refusal([&] { folder.planned(body, "refused"); });
  }
  Folder folder;
};

TEST_F(PlanTest, CellsOfModels) {
  const Plan plan = folder.planned(
      R"("golden": {"recipes": ["small.json", "dense_f32"], "cells": {"grid": [4, 8, 12],
         "head_dim": 32, "prompts": 2, "steps": ["5", "40"], "layers": ["1"], "heads": ["0", "2"]}})");
  ASSERT_EQ(plan.size(), 2u * 2 * 2 * 2 * 2);
  EXPECT_EQ(plan.name(0), "small.p0.s5.l1.h0.cond");
  EXPECT_EQ(plan.name(31), "dense_f32.p1.s40.l1.h2.uncond");
  EXPECT_THAT(std::string(plan.command(0)), StartsWith("karat make --recipe /"));
  EXPECT_THAT(std::string(plan.command(0)),
              EndsWith("plan/recipes/small.json --model wan2.1-1.3b --grid 4,8,12 --channels 32 "
                       "--cell p0.s5.l1.h0.cond -o small.p0.s5.l1.h0.cond.h5"));
  EXPECT_GT(plan.cost(31).seconds, plan.cost(0).seconds) << "dense work is more";
  EXPECT_EQ(plan.by_cost().front(), 16u) << "the first of the longest";
  double seconds = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) seconds += plan.cost(i).seconds;
  EXPECT_NEAR(plan.totals().cost.seconds, seconds, 1e-3 * seconds);
  EXPECT_EQ(plan.shard_named("small.p1.s5.l1.h2.cond"), 10u);
  EXPECT_THAT(refusal([&] { plan.shard_named("small.p1.s5.l1.h3.cond"); }),
              HasSubstr("did you mean small.p1.s5.l1.h"));
}

TEST_F(PlanTest, CasesMultiply) {
  const Plan plan = folder.planned(
      R"("golden": {"recipes": ["dense_f32"], "tap": "none", "cases": {"grid": [[1, 4, 8], [2, 4, 4]],
         "head_dim": 32, "heads": 2, "kind": ["video", "ties"], "seed": "0-2"}})");
  ASSERT_EQ(plan.size(), 12u);
  EXPECT_EQ(plan.name(0), "dense_f32.kind=video.grid=1x4x8.seed=0");
  EXPECT_EQ(plan.command(11),
            "karat make --recipe dense_f32 --workload ties --channels 32 --heads 2 --grid 2,4,4 "
            "--seed 2 --tap none -o dense_f32.kind=ties.grid=2x4x4.seed=2.h5");
}

TEST_F(PlanTest, SameSpecSamePlan) {
  const std::string body = R"("golden": {"recipes": ["small.json"],
      "cells": {"grid": [4, 8, 12], "head_dim": 32, "prompts": 1, "steps": ["5"], "heads": ["0"]}})";
  folder.planned(body);
  folder.planned(body, "twice");
  EXPECT_EQ(make_plan(folder / "spec.json", folder / "plan", {}), Planned::standing);
  // All but the commands, which name the plan's folder.
  const auto list = [&](const char* name) {
    std::string text = files::read_text(folder / name);
    return text.substr(0, text.find("karat make"));
  };
  EXPECT_EQ(list("plan/shards.tsv"), list("twice/shards.tsv"));
}

TEST_F(PlanTest, RecipesAreThoseOfThePlanning) {
  const Plan plan = folder.planned(
      R"("golden": {"recipes": ["small.json"], "cells": {"grid": [4, 8, 12], "head_dim": 32,
         "prompts": 1, "steps": ["5"], "heads": ["0"]}})");
  files::write_file(folder / "small.json", std::string_view("{}"));
  EXPECT_EQ(plan.work()->size(), 2u);
  files::write_file(folder / "plan/recipes/small.json", std::string_view("{\"name\": \"small\"}"));
  EXPECT_THAT(refusal([&] { plan.work(); }), HasSubstr("others than were planned"));
}

TEST_F(PlanTest, TheSameSpecElsewhereIsAnotherPlan) {
  const auto write = [&](const std::string& name, std::string_view text) {
    std::filesystem::create_directories((folder / name).parent_path());
    files::write_file(folder / name, text);
  };
  const std::string spec =
      R"({"schema": "karat.sweep_spec", "version": 1,
          "check": {"golden": "g.h5", "candidates": ["c.npy"]}})";
  for (const std::string there : {"a/", "b/"}) {
    write(there + "s.json", spec);
    write(there + "g.h5", "golden");
    write(there + "c.npy", "candidate");
  }
  EXPECT_EQ(make_plan(folder / "a/s.json", folder / "plan", {}), Planned::made);
  EXPECT_EQ(make_plan(folder / "a/s.json", folder / "plan", {}), Planned::standing);
  EXPECT_THAT(refusal([&] { make_plan(folder / "b/s.json", folder / "plan", {}); }),
              HasSubstr("other recipes or inputs"));
  write("a/c.npy", "another candidate");
  EXPECT_THAT(refusal([&] { make_plan(folder / "a/s.json", folder / "plan", {}); }),
              HasSubstr("other recipes or inputs"));
  // A recipe that was edited since.
  folder.planned(R"("golden": {"recipes": ["small.json"], "cases": {"grid": [1, 4, 8]}})", "of");
  std::string edited = kRecipe;
  edited.replace(edited.find("\"k\": 32"), 7, "\"k\": 16");
  write("small.json", edited);
  EXPECT_THAT(refusal([&] { make_plan(folder / "spec.json", folder / "of", {}); }),
              HasSubstr("other recipes or inputs"));
}

TEST_F(PlanTest, NamesAreFitForFilesAndShells) {
  files::write_file(folder / "g.h5", std::string_view("golden"));
  const auto beside = [&](const std::string& name) {
    files::write_file(folder / name, std::string_view("candidate"));
    return R"("check": {"golden": "g.h5", "candidates": )" + files::Json::array({name}).dump() +
           "}";
  };
  EXPECT_THAT(refused(beside("a\nb.npy")), HasSubstr("line break"));
  EXPECT_THAT(refused(beside("a\tb.npy")), HasSubstr("line break"));
  EXPECT_THAT(refused(beside(std::string(230, 'x') + ".npy")), HasSubstr("at most 200"));
  std::filesystem::create_directory(folder / "odd");
  files::write_file(folder / "odd/\xff.npy", std::string_view("candidate"));
  EXPECT_THAT(refused(R"("check": {"golden": "g.h5", "candidates": ["odd"]})"), HasSubstr("UTF-8"));
  EXPECT_FALSE(std::filesystem::exists(folder / "refused"));
  const Plan plan = folder.planned(beside("it's; a.npy"));
  EXPECT_THAT(std::string(plan.command(0)), EndsWith("/it'\\''s; a.npy' --json"));
  EXPECT_THAT(std::string(plan.command(0)), HasSubstr("/g.h5 '/"));
}

TEST_F(PlanTest, WhatIsRefused) {
  EXPECT_THAT(refused(R"("golden": {"recipes": ["dense_f32"], "cases": {"grid": [1, 4, 8],
                         "seed": "0-9999", "step": "0-9999"}})"),
              HasSubstr("ten million"));
  files::write_file(folder / "g.h5", std::string_view("golden"));
  EXPECT_THAT(refused(R"("check": {"golden": "g.h5", "candidates": ["g.h5"], "strict": "yes"})"),
              HasSubstr("check.strict"));
  EXPECT_THAT(refused(R"("trial": {"shards": 3}, "study": {})"), HasSubstr("another kind"));
  EXPECT_THAT(refused(R"("lease": 3)"), HasSubstr("nothing to compute"));
  EXPECT_THAT(refused(R"("trail": {"shards": 3})"), HasSubstr("did you mean trial?"));
  EXPECT_THAT(refused(R"("trial": {"shard": 3})"), HasSubstr("did you mean shards?"));
  EXPECT_THAT(refused(R"("trial": {"shards": 0})"), HasSubstr("from 1"));
  EXPECT_THAT(refused(R"("lease": 0, "trial": {})"), HasSubstr("lease"));
  EXPECT_THAT(refused(R"("golden": {"recipes": ["fpsattention"]})"), HasSubstr("no cells"));
  EXPECT_THAT(refused(R"("golden": {"recipes": ["fpsatention"], "cells": {}})"),
              HasSubstr("fpsattention"));
  EXPECT_THAT(refused(R"("golden": {"recipes": ["dense_f32", "dense_f32"], "cells": {"steps": ["1"],
                         "heads": ["0"]}})"),
              HasSubstr("two shards"));
  EXPECT_THAT(refused(R"("golden": {"recipes": ["dense_f32"], "cases": {"gridd": [1, 2, 3]}})"),
              HasSubstr("did you mean grid?"));
  EXPECT_THAT(refused(R"("check": {"golden": "nowhere.h5", "candidates": ["a.npy"]})"),
              HasSubstr("nowhere.h5"));
  EXPECT_FALSE(std::filesystem::exists(folder / "refused"));
  std::size_t left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / ""))
    left += entry.path().string().ends_with(".part");
  EXPECT_EQ(left, 0u) << "a refused plan leaves no draft";
}

TEST_F(PlanTest, OfAnotherVersionOrChanged) {
  const auto fresh = [&](const std::string& name) {
    folder.planned(R"("trial": {"shards": 3})", name);
    return folder / name;
  };
  const auto changed = [&](const std::string& name, const char* field, const files::Json& value) {
    const auto path = fresh(name);
    files::Json facts = files::read_json(path / "plan.json");
    facts[field] = value;
    files::write_json(path / "plan.json", facts);
    return refusal([&] { Plan{path}; });
  };
  EXPECT_THAT(changed("a", "version", 2), HasSubstr("format 2, this karat reads 1"));
  EXPECT_THAT(changed("b", "karat", "9.9.9"), HasSubstr("planned by karat 9.9.9"));
  EXPECT_THAT(changed("c", "schema", "other"), HasSubstr("no plan"));
  EXPECT_THAT(changed("g", "shards", -5), HasSubstr("plan.json: is damaged"));
  EXPECT_THAT(changed("h", "shards", 1e18), HasSubstr("plan.json: is damaged"));
  EXPECT_THAT(changed("i", "shards", std::uint64_t{1} << 60), HasSubstr("another number"));
  EXPECT_THAT(changed("j", "ending", "/../x"), HasSubstr("plan.json: is damaged"));
  const auto touched = fresh("d");
  files::write_file(touched / "spec.json", std::string_view("{}"));
  EXPECT_THAT(refusal([&] { Plan{touched}; }), HasSubstr("changed after planning"));
  const auto listed = fresh("e");
  files::write_file(listed / "shards.tsv", std::string_view("x\t0\t0\t0\ty\n"));
  EXPECT_THAT(refusal([&] { Plan{listed}; }), HasSubstr("changed after planning"));
  EXPECT_THAT(refusal([&] { Plan{folder / "nowhere"}; }), HasSubstr("does not exist"));
  EXPECT_THAT(refusal([&] { Plan{folder / "a" / "log"}; }), HasSubstr("holds no plan"));
  // The spec changed, and is planned into the same folder: what stands there is left alone.
  fresh("f");
  folder.write_spec(R"("trial": {"shards": 4})");
  EXPECT_THAT(refusal([&] { make_plan(folder / "spec.json", folder / "f", {}); }),
              HasSubstr("another spec"));
  EXPECT_EQ(Plan{folder / "f"}.size(), 3u);
}

TEST_F(PlanTest, JobScriptsFitTheWork) {
  Spec spec{.name = "a b", .threads = 4};
  const PlanTotals totals{.shards = 500, .cost = {.seconds = 40.0 * 3600}};
  const std::string script = sbatch_script(spec, totals, "/data/it's", "/bin/karat");
  EXPECT_THAT(script, StartsWith("#!/bin/bash\n"));
  EXPECT_THAT(script, HasSubstr("--job-name=a_b\n"));
  EXPECT_THAT(script, HasSubstr("--array=0-9\n")) << "an hour of four cores a task";
  EXPECT_THAT(script, HasSubstr("--cpus-per-task=4\n"));
  EXPECT_THAT(script, HasSubstr("exec '/bin/karat' sweep run '/data/it'\\''s' --slurm"));
}

}  // namespace
}  // namespace karat::sweep
