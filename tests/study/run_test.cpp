// A study that is stopped goes on where it was, and ends with the same bytes.
#include "karat/study/run.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "karat/files/atomic_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/study/page.hpp"
#include "small.hpp"

namespace karat::study {
namespace {

struct Stop {};

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

class Run : public testing::Test {
 protected:
  std::unique_ptr<capture::Source> source = capture::generated_source(small_source());
  std::vector<recipe::Recipe> recipes{small_recipe()};
  MeasureOptions options = small_options();
  Workbench bench{*source, recipes, options};
  StudyIdentity identity = identity_of(*source, recipes, options);

  StudyResult whole(const std::string& name, int threads) {
    Journal journal(scratch(name), identity);
    StudyResult result = run(*source, bench, identity, journal, {.threads = threads});
    journal.remove();
    return result;
  }
};

TEST_F(Run, GivesTheSameBytesHoweverItIsStopped) {
  write_study(scratch("one.h5"), whole("one.journal", 1));
  const std::string expected = bytes_of(scratch("one.h5"));
  ASSERT_FALSE(expected.empty());
  const auto path = scratch("two.journal");
  std::size_t kept = 0;
  for (const std::size_t stop_after :
       {bench.steps_per_job() / 2, bench.steps_per_job() * 3 / 2, bench.steps_per_job()}) {
    Journal journal(path, identity);
    EXPECT_GE(journal.finished().size(), kept);
    kept = journal.finished().size();
    std::size_t begun = 0;
    EXPECT_THROW(run(*source, bench, identity, journal,
                     {.threads = 1,
                      .progress =
                          [&](std::size_t, std::size_t) {
                            if (++begun > stop_after) throw Stop{};
                          }}),
                 Stop);
  }
  {
    // What a kill in the middle of a write leaves: half a line.
    std::ofstream torn(path, std::ios::app);
    torn << R"({"job":[1,40,1,2],"figures":[[0,0,"both",0.1)";
  }
  Journal journal(path, identity);
  ASSERT_EQ(journal.finished().size(), 2u);
  std::size_t steps = 0;
  const StudyResult result =
      run(*source, bench, identity, journal,
          {.threads = 2, .progress = [&](std::size_t, std::size_t) { ++steps; }});
  EXPECT_EQ(steps, (source->facts().jobs.size() - 2) * bench.steps_per_job()) << "a cell was repeated";
  write_study(scratch("two.h5"), result);
  EXPECT_EQ(bytes_of(scratch("two.h5")), expected);
  journal.remove();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(Run, RefusesTheJournalOfAnotherStudy) {
  const auto path = scratch("other.journal");
  { Journal journal(path, identity); }
  MeasureOptions other = options;
  other.sample.seed = 99;
  EXPECT_THROW(Journal(path, identity_of(*source, recipes, other)), Error);
  std::filesystem::remove(path);
}

TEST_F(Run, ResultSurvivesItsFile) {
  const StudyResult result = whole("three.journal", 2);
  write_study(scratch("three.h5"), result);
  const StudyResult read = read_study(scratch("three.h5"));
  EXPECT_EQ(read.jobs, result.jobs);
  EXPECT_EQ(read.identity.sha256, result.identity.sha256);
  EXPECT_EQ(read.head_kinds, result.head_kinds);
  EXPECT_EQ(figures_csv(read), figures_csv(result));
  const SensitivityTable table = read_sensitivity(scratch("three.h5"));
  EXPECT_EQ(sensitivity_csv(table), sensitivity_csv(sensitivity(result)));
  EXPECT_EQ(table.rows.size(), result.jobs.size() * 2);
  const std::string page = html_page(read, summarise(read), {"karat study", "0"});
  EXPECT_EQ(page, html_page(result, summarise(result), {"karat study", "0"}));
  EXPECT_THAT(page, testing::HasSubstr("<svg"));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("src=")));
  EXPECT_THAT(page, testing::Not(testing::HasSubstr("nan")));
}

TEST_F(Run, RefusesListsWithoutMeaning) {
  EXPECT_THROW(Workbench(*source, {}, options), Error);
  EXPECT_THROW(Workbench(*source, {small_recipe(), small_recipe()}, options), Error);
  capture::GeneratedSource bad = small_source();
  bad.steps = {};
  EXPECT_THROW(capture::generated_source(bad), Error);
  bad = small_source();
  bad.heads = {3};
  EXPECT_THROW(capture::generated_source(bad), Error);
  bad = small_source();
  bad.layers = {1, 1};
  EXPECT_THROW(capture::generated_source(bad), Error);
  bad = small_source();
  bad.prompts = 0;
  EXPECT_THROW(capture::generated_source(bad), Error);
}

}  // namespace
}  // namespace karat::study
