// Runners of one process: order, failures, takeovers, doubles; merging.
#include "karat/sweep/runner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "folder.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/sweep/log.hpp"
#include "karat/sweep/merge.hpp"
#include "karat/sweep/status.hpp"

namespace karat::sweep {
namespace {

using ::testing::HasSubstr;

class RunnerTest : public ::testing::Test {
 protected:
  Folder folder;
};

TEST_F(RunnerTest, AllSharesTogetherAreThePlan) {
  const Plan plan = folder.planned(R"("trial": {"shards": 50})");
  std::size_t made = 0;
  for (std::size_t i = 0; i < 7; ++i) {
    const RunReport report = run(plan, {.share = {.index = i, .count = 7}});
    EXPECT_EQ(report.made, i < 1 ? 8u : 7u);
    made += report.made;
  }
  EXPECT_EQ(made, 50u);
  EXPECT_EQ(run(plan, {}).found, 50u);
  const Status status = status_of(plan);
  EXPECT_TRUE(status.complete());
  EXPECT_EQ(status.open(), 0u);
  EXPECT_EQ(read_logs(plan.folder()).size(), 50u) << "nothing was computed twice";
  EXPECT_TRUE(std::filesystem::is_empty(plan.inside("claims")));
}

TEST_F(RunnerTest, FailuresStayInTheTableUntilTheyAreRetried) {
  std::filesystem::create_directory(folder / "golden");
  std::filesystem::create_directory(folder / "kernel");
  for (const char* name : {"golden/a.h5", "golden/b.h5"})
    files::write_file(folder / name, std::string_view("no golden file"));
  const Plan plan =
      folder.planned(R"("check": {"golden": "golden", "candidates": ["kernel"], "strict": true})");
  EXPECT_EQ(plan.name(1), "kernel.b");
  EXPECT_THAT(std::string(plan.command(1)), HasSubstr("kernel/b.safetensors --strict --json"));
  std::filesystem::remove(folder / "golden/b.h5");
  RunReport report = run(plan, {});
  ASSERT_EQ(report.failed.size(), 2u);
  EXPECT_THAT(report.failed[1].reason, HasSubstr("b.h5: cannot be read: No such file"));
  EXPECT_EQ(run(plan, {}).made, 0u);
  EXPECT_THAT(to_text(status_of(plan), plan), HasSubstr("2 failed"));
  EXPECT_EQ(retry(plan, {1}), 1u);
  EXPECT_EQ(status_of(plan).failed.size(), 1u);
  EXPECT_EQ(status_of(plan).open(), 1u);
  EXPECT_EQ(run(plan, {}).failed.size(), 2u);
}

TEST_F(RunnerTest, FilesOtherThanPlannedAreNoticed) {
  files::write_file(folder / "g.h5", std::string_view("golden"));
  files::write_file(folder / "c.npy", std::string_view("candidate"));
  const auto reason = [&](const Plan& plan) {
    const RunReport report = run(plan, {});
    return report.failed.empty() ? "none failed" : report.failed[0].reason;
  };
  const std::string pair = R"("check": {"golden": "g.h5", "candidates": ["c.npy"]})";
  const Plan candidate = folder.planned(pair), golden = folder.planned(pair, "golden_changes");
  files::write_file(folder / "c.npy", std::string_view("CANDIDATE"));
  EXPECT_THAT(reason(candidate), HasSubstr("c.npy: is another file than was planned"));
  files::write_file(folder / "g.h5", std::string_view("GOLDEN"));
  EXPECT_THAT(reason(golden), HasSubstr("g.h5: is another file than was planned"));
  const Plan inputs = folder.planned(
      R"("golden": {"recipes": ["dense_f32"], "cases": {"in": "c.npy", "grid": [1, 4, 8]}})", "in");
  EXPECT_EQ(inputs.work()->size(), 1u);
  EXPECT_THAT(reason(inputs), ::testing::Not(HasSubstr("another file")));
  retry(inputs, {});
  files::write_file(folder / "c.npy", std::string_view("Candidate"));
  EXPECT_THAT(reason(inputs), HasSubstr("c.npy: is another file than was planned"));
}

TEST_F(RunnerTest, DeadRunnersShardsAreTakenOver) {
  const Plan plan = folder.planned(R"("lease": 0.3, "trial": {"shards": 5})");
  std::filesystem::create_hard_link(
      [&] {
        const auto dead = plan.inside("claims") / "runner.dead";
        files::write_file(dead, std::string_view("{\"runner\": \"dead\", \"host\": \"far\"}"));
        return dead;
      }(),
      plan.inside("claims") / "3");
  EXPECT_EQ(list_claims(plan.folder()).at(0).host, "far");
  const RunReport report = run(plan, {});
  EXPECT_EQ(report.taken, 1u);
  EXPECT_EQ(report.made, 5u);
}

TEST_F(RunnerTest, AShardThatKillsItsRunnersFails) {
  const Plan plan = folder.planned(R"("lease": 0.2, "attempts": 1, "trial": {"shards": 2})");
  files::write_file(plan.inside("claims") / "1", std::string_view("{}"));
  const RunReport report = run(plan, {});
  EXPECT_EQ(report.made, 1u);
  ASSERT_EQ(report.failed.size(), 1u);
  EXPECT_THAT(report.failed[0].reason, HasSubstr("1 runners fell silent"));
  EXPECT_EQ(retry(plan, {}), 1u);
  EXPECT_EQ(run(plan, {}).made, 1u);
}

TEST_F(RunnerTest, ALivingRunnersShardIsLeftToIt) {
  const Plan plan = folder.planned(R"("lease": 0.2, "trial": {"shards": 4})");
  Claims other(plan.folder(), this_runner(), std::chrono::duration<double>(0.2));
  ASSERT_TRUE(other.claim(2));
  std::atomic<bool> over = false;
  std::thread heart([&] {
    for (; !over; std::this_thread::sleep_for(std::chrono::milliseconds(10))) other.beat();
  });
  const RunReport report = run(plan, {});
  EXPECT_EQ(report.made, 3u);
  EXPECT_EQ(report.held, 1u);
  over = true;
  heart.join();
}

TEST_F(RunnerTest, TwoResultsThatDifferAreFound) {
  const Plan plan = folder.planned(R"("trial": {"shards": 3})");
  run(plan, {});
  files::write_file(plan.result(1), std::string_view("{\"shard\": 7}\n"));
  EXPECT_THROW(merge(plan, folder / "all.json", {}), Error);
  // A result that came while this runner computed the same shard.
  const Plan twice = folder.planned(R"("trial": {"shards": 3, "milliseconds": 300})", "twice");
  std::thread faster([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    files::write_file(twice.result(0), std::string_view("{\"shard\": 7}\n"));
  });
  const RunReport report = run(twice, {.only = {0}});
  faster.join();
  EXPECT_EQ(report.repeated, 1u);
  ASSERT_EQ(report.failed.size(), 1u);
  EXPECT_THAT(report.failed[0].reason, HasSubstr("different bytes"));
}

/// A line of a runner that is long gone, about bytes that nobody has.
void write_stale_line(const Plan& plan, std::size_t shard) {
  files::write_file(plan.inside("log") / ("old" + std::to_string(shard) + ".jsonl"),
                    R"({"schema": "karat.sweep_log", "runner": "old", "host": "far", "karat": "0"})"
                    "\n{\"shard\": " +
                        std::to_string(shard) +
                        R"(, "sha256": "00", "bytes": 1, "seconds": 1, "ended": 1.5})" + "\n");
}

TEST_F(RunnerTest, RunsInDisputeAreSettledByAnotherRun) {
  const Plan plan = folder.planned(R"("trial": {"shards": 3})");
  run(plan, {});
  // Put back: neither run counts any more.
  write_stale_line(plan, 1);
  EXPECT_THROW(merge(plan, folder / "all.json", {}), Error);
  EXPECT_EQ(retry(plan, {0}), 0u) << "nothing is wrong with this one";
  EXPECT_EQ(retry(plan, {}), 1u);
  EXPECT_EQ(run(plan, {}).made, 1u);
  EXPECT_EQ(merge(plan, folder / "all.json", {}).merged, 3u);
  // Removed by hand: two equal runs against one.
  write_stale_line(plan, 2);
  EXPECT_THROW(merge(plan, folder / "all.json", {}), Error);
  std::filesystem::remove(plan.result(2));
  run(plan, {});
  EXPECT_EQ(merge(plan, folder / "all.json", {}).merged, 3u);
  // A result that is other than two runs logged.
  files::write_file(plan.result(2), std::string_view("{\"shard\": 7}\n"));
  EXPECT_THROW(merge(plan, folder / "all.json", {}), Error);
  EXPECT_EQ(retry(plan, {2}), 1u);
  run(plan, {});
  EXPECT_EQ(merge(plan, folder / "all.json", {}).merged, 3u);
}

TEST_F(RunnerTest, DamagedResultsThatNobodyLogged) {
  const Plan plan = folder.planned(R"("trial": {"shards": 2})");
  for (const std::string_view damaged : {"", "{\"shard\": ", "7"}) {
    run(plan, {});
    std::filesystem::remove_all(plan.inside("log"));
    std::filesystem::create_directory(plan.inside("log"));
    files::write_file(plan.result(1), damaged);
    try {
      merge(plan, folder / "all.json", {});
      ADD_FAILURE() << "merged " << damaged;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("is damaged; put it back"));
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "all.json"));
    EXPECT_EQ(retry(plan, {1}), 1u);
  }
}

TEST_F(RunnerTest, RecordsOfNoShardAreNamed) {
  const Plan plan = folder.planned(R"("trial": {"shards": 2})");
  const auto named = [&](const char* file, const char* shard) {
    files::write_file(
        plan.inside("failed") / file,
        std::string(R"({"shard": )") + shard + R"(, "reason": "", "runner": "", "host": ""})");
    std::string line = "no error";
    try {
      status_of(plan);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output);
      line = error.what();
    }
    std::filesystem::remove(plan.inside("failed") / file);
    return line;
  };
  EXPECT_THAT(named("99.json", "99"), HasSubstr("99.json: is of no shard"));
  EXPECT_THAT(named("1.json", "-1"), HasSubstr("1.json: is of no shard"));
  EXPECT_THAT(named("1.json", "0"), HasSubstr("1.json: is of no shard"));
  EXPECT_THAT(named("1.json", "\"a\""), HasSubstr("1.json: is of no shard"));
  EXPECT_EQ(named("1.json", "1"), "no error");
}

TEST_F(RunnerTest, ARunnerThatStoodStillUntilAllWasDoneEndsWell) {
  const Plan plan = folder.planned(R"("trial": {"shards": 6, "milliseconds": 1})");
  bool stood_still = false;
  const RunReport report = run(
      plan, {.tick = [&] {
        // Once something is half written, the others finish and tidy up.
        std::vector<std::filesystem::path> left;
        for (const char* name : {"results/0000", "claims"})
          for (const auto& entry : std::filesystem::directory_iterator(plan.inside(name)))
            left.push_back(entry.path());
        if (stood_still || std::ranges::none_of(
                               left, [](const auto& path) { return path.extension() == ".part"; }))
          return;
        stood_still = true;
        for (const auto& path : left) std::filesystem::remove(path);
        for (std::size_t i = 0; i < plan.size(); ++i)
          files::write_file(plan.result(i), "{\"shard\": " + std::to_string(i) + "}\n");
      }});
  EXPECT_TRUE(stood_still);
  EXPECT_EQ(report.made, 0u);
  EXPECT_GT(report.repeated, 0u);
  EXPECT_EQ(report.repeated + report.found, 6u);
  EXPECT_TRUE(std::filesystem::is_empty(plan.inside("claims")));
}

TEST_F(RunnerTest, MergingSaysWhatIsMissing) {
  const Plan plan = folder.planned(R"("trial": {"shards": 4})");
  run(plan, {.only = {0, 2}});
  EXPECT_THROW(merge(plan, folder / "all.json", {}), Error);
  EXPECT_THROW(merge(plan, plan.inside("plan.json"), {.gaps = Gaps::allowed}), Error);
  const MergeSummary part = merge(plan, folder / "part.json", {.gaps = Gaps::allowed});
  EXPECT_EQ(part.merged, 2u);
  EXPECT_EQ(part.open, 2u);
  run(plan, {});
  const MergeSummary all = merge(plan, folder / "all.json", {});
  const files::Json merged = files::read_json(folder / "all.json");
  ASSERT_EQ(merged["shards"].size(), 4u);
  EXPECT_EQ(merged["shards"][3]["result"]["shard"], 3);
  const files::Json manifest = files::read_json(folder / "all.json.manifest.json");
  EXPECT_EQ(manifest["sha256"], files::sha256_file(folder / "all.json"));
  EXPECT_EQ(manifest["shards"][2]["runs"], 1);
  EXPECT_EQ(all.failed, 0u);
}

TEST_F(RunnerTest, DealtShardsAreEachTakenOnce) {
  const Plan plan = folder.planned(R"("trial": {"shards": 20, "milliseconds": 2})");
  std::atomic<std::size_t> next = 0;
  const RunOptions options{.deal = [&]() -> std::optional<std::size_t> {
    const std::size_t place = next++;
    if (place >= 20) return std::nullopt;
    return place;
  }};
  std::size_t made[2] = {};
  std::thread second([&] { made[1] = run(plan, options).made; });
  made[0] = run(plan, options).made;
  second.join();
  EXPECT_EQ(made[0] + made[1], 20u);
  EXPECT_EQ(read_logs(plan.folder()).size(), 20u);
}

}  // namespace
}  // namespace karat::sweep
