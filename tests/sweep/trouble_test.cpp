// What is no shard's fault: disks that fill, records that cannot be written, claims nobody may
// open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

#include "folder.hpp"
#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/sweep/merge.hpp"
#include "karat/sweep/runner.hpp"
#include "karat/sweep/status.hpp"

namespace karat::sweep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Files of this process end at so many bytes, like those of a disk that fills.
class Room {
 public:
  Room() : ignored_(std::signal(SIGXFSZ, SIG_IGN)) { ::getrlimit(RLIMIT_FSIZE, &before_); }
  ~Room() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, ignored_);
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;
  void leave(rlim_t bytes) const {
    const rlimit limit{.rlim_cur = bytes, .rlim_max = before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }

 private:
  rlimit before_{};
  void (*ignored_)(int);
};

class TroubleTest : public ::testing::Test {
 protected:
  Plan tiny_golden() const {
    return folder.planned(
        R"("golden": {"recipes": ["dense_f32"], "tap": "none", "cases": {"grid": [1, 2, 4],
           "head_dim": 8, "seed": "0-1"}})");
  }
  Plan missing_golden() const {
    std::filesystem::create_directory(folder / "golden");
    std::filesystem::create_directory(folder / "kernel");
    files::write_file(folder / "golden/a.h5", std::string_view("no golden file"));
    const Plan plan = folder.planned(R"("check": {"golden": "golden", "candidates": ["kernel"]})");
    std::filesystem::remove(folder / "golden/a.h5");
    return plan;
  }
  /// The one line that ends a run.
  static std::string stopped(const Plan& plan, const RunOptions& options) {
    try {
      run(plan, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input_output);
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      return error.what();
    }
    return "nothing stopped it";
  }
  static std::string reason_of_first(const Plan& plan) {
    return files::read_json(plan.failure(0)).at("reason");
  }
  Folder folder;
};

TEST_F(TroubleTest, ResultsWithoutRoomFailNoShard) {
  const Plan plan = tiny_golden();
  const Room room;
  // The estimate says that it fits: the disk has gigabytes.
  const std::string line = stopped(plan, {.tick = [&] { room.leave(4096); }});
  EXPECT_THAT(line, HasSubstr("File too large"));
  EXPECT_THAT(line, HasSubstr(std::string(plan.name(0))));
  EXPECT_THAT(line, HasSubstr("nothing is lost"));
  EXPECT_TRUE(list_failures(plan).empty());
  EXPECT_TRUE(std::filesystem::is_empty(plan.inside("claims")));
  room.leave(RLIM_INFINITY);
  EXPECT_EQ(run(plan, {}).made, 2u);
}

TEST_F(TroubleTest, AFailureThatCannotBeRecordedIsStillNamed) {
  const Plan plan = missing_golden();
  const Room room;
  const std::string line = stopped(plan, {.tick = [&] { room.leave(1); }});
  EXPECT_THAT(line, HasSubstr("a.h5: cannot be read: No such file"));
  EXPECT_THAT(line, HasSubstr("File too large"));
  room.leave(RLIM_INFINITY);
  EXPECT_TRUE(list_failures(plan).empty());
}

TEST_F(TroubleTest, ReasonsAreTheShards) {
  // Another process, another runner: the same words.
  const Plan plan = folder.planned(R"("lease": 0.2, "attempts": 1, "trial": {"shards": 1})");
  std::set<std::string> reasons;
  for (int times = 1; times < 3; ++times) {
    files::write_file(plan.inside("claims") / "0", std::string_view("{}"));
    for (int i = 1; i < times; ++i)
      files::write_file(plan.inside("taken") / ("0.x." + std::to_string(i)),
                        std::string_view("{}"));
    EXPECT_EQ(run(plan, {}).failed.size(), 1u);
    reasons.insert(reason_of_first(plan));
    retry(plan, {});
  }
  EXPECT_EQ(reasons.size(), 1u) << *reasons.begin() << " and " << *reasons.rbegin();
}

TEST_F(TroubleTest, ReasonsNameNoRunner) {
  const Plan twice = folder.planned(R"("trial": {"shards": 1, "milliseconds": 300})");
  bool written = false;
  run(twice, {.tick = [&] {
        if (std::filesystem::is_empty(twice.inside("claims")) || written) return;
        written = std::filesystem::exists(twice.inside("claims") / "0");
        if (written) files::write_file(twice.result(0), std::string_view("{\"shard\": 7}\n"));
      }});
  ASSERT_TRUE(written);
  const std::string reason = reason_of_first(twice);
  EXPECT_THAT(reason, HasSubstr("different bytes"));
  EXPECT_THAT(reason, Not(HasSubstr(this_runner().host)));
  EXPECT_EQ(list_failures(twice).at(0).host, this_runner().host);
}

TEST_F(TroubleTest, ReasonsCallFilesByTheirFinalNames) {
  const Plan plan = tiny_golden();
  // Folders where the runner would write: what it says names them.
  std::string id;
  const RunReport report = run(
      plan,
      {.only = {0}, .tick = [&] {
         if (!id.empty()) return;
         const std::string own =
             std::filesystem::directory_iterator(plan.inside("claims"))->path().filename().string();
         id = own.substr(own.find('.') + 1);
         for (const std::string& stem : {std::string("0"), plan.result(0).filename().string()})
           std::filesystem::create_directory(plan.result(0).parent_path() /
                                             ("." + stem + "." + id + ".part"));
       }});
  ASSERT_EQ(report.failed.size(), 1u);
  EXPECT_THAT(report.failed[0].reason, HasSubstr("dense_f32.seed=0.h5: is a folder"));
  EXPECT_THAT(report.failed[0].reason, Not(HasSubstr(id)));
}

TEST_F(TroubleTest, AClaimThatMayNotBeOpenedIsNamed) {
  const Plan plan = folder.planned(R"("lease": 0.2, "trial": {"shards": 2})");
  // Nobody can open a link to itself, not even root.
  std::filesystem::create_symlink("1", plan.inside("claims") / "1");
  int looks = 0;
  const std::string line = stopped(plan, {.tick = [&] {
                                     if (++looks > 300)
                                       throw Error(ErrorKind::input_output, "the runner", "loops");
                                   }});
  EXPECT_THAT(line, HasSubstr("claims/1: cannot be looked at"));
}

TEST_F(TroubleTest, MergedFilesStayOutOfThePlan) {
  const Plan plan = folder.planned(R"("trial": {"shards": 2})");
  run(plan, {});
  std::filesystem::create_directory_symlink(plan.folder(), folder / "link");
  for (const auto& path : {plan.inside("plan.json"), plan.inside("new.json"), plan.result(0),
                           folder / "link/shards.tsv"}) {
    try {
      merge(plan, path, {});
      ADD_FAILURE() << "merged onto " << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr("lies inside the plan"));
    }
  }
  EXPECT_EQ(Plan(plan.folder()).size(), 2u);
  EXPECT_EQ(merge(plan, folder / "all.json", {}).merged, 2u);
}

std::string refused(const Folder& folder, const std::string& body) {
  try {
    folder.planned(body, "refused");
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    return error.what();
  } catch (const std::exception& error) {
    return std::string("no Error: ") + error.what();
  }
  return "nothing was refused";
}

TEST_F(TroubleTest, FieldsOfAnotherType) {
  files::write_file(folder / "a.h5", std::string_view("no golden file"));
  for (const char* kind : {"check", "diagnose"})
    for (const char* field : {"allow", "strict", "layout", "trust"})
      for (const char* value : {"5", "\"yes\"", "[5]", "{}", "[[\"a\"]]"}) {
        const std::string line =
            refused(folder, std::string("\"") + kind +
                                R"(": {"golden": "a.h5", "candidates": ["a.h5"], ")" + field +
                                "\": " + value + "}");
        EXPECT_THAT(line, Not(HasSubstr("no Error"))) << kind << " " << field << " " << value;
      }
}

TEST_F(TroubleTest, MoreCasesThanAnyCampaignHas) {
  const auto cases = [&](const std::string& fields) {
    return refused(folder, R"("golden": {"recipes": ["dense_f32"], "tap": "none", "cases": {"grid":
      [1, 2, 4], "head_dim": 8, )" +
                               fields + "}}");
  };
  // 2^64 cases are none to who multiplies without a look.
  EXPECT_THAT(
      cases(R"("seed": "0-65535", "batch": "1-65536", "heads": "1-65536", "text": "0-65535")"),
      HasSubstr("ten million"));
  EXPECT_THAT(cases(R"("seed": "0-3999", "text": "0-3999")"),
              HasSubstr("multiply to more than ten million"));
  EXPECT_THAT(
      refused(folder, R"("study": {"grid": [4, 8, 12], "head_dim": 32, "prompts": 100000000})"),
      HasSubstr("cells: prompts, steps, layers and heads ask for more than 10000000"));
}

TEST_F(TroubleTest, ListsCostOneFile) {
  constexpr std::size_t kMany = 100'000;
  const Plan plan = folder.planned(R"("trial": {"shards": 100000})");
  std::size_t files = 0, folders = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(plan.folder()))
    ++(entry.is_directory() ? folders : files);
  EXPECT_EQ(plan.size(), kMany);
  EXPECT_EQ(files, 5u) << "plan.json, spec.json, inputs.json, shards.tsv and sbatch.sh";
  EXPECT_EQ(folders, 6 + kMany / 1000);
  std::ifstream list(plan.inside("shards.tsv"));
  EXPECT_EQ(static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(list), {}, '\n')),
            kMany);
}

}  // namespace
}  // namespace karat::sweep
