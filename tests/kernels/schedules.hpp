// Runs of an intact kernel, whoever of its warps and copies goes first.
#pragma once

#include <gmock/gmock.h>

#include <cstdint>

#include "karat/ptx/run.hpp"
#include "removals.hpp"

namespace karat::kernels {

/// Runs the launch with the search for hazards: eagerly, as late as possible, and in random order
/// (once; a hundred seeds in long tests). Expects neither fault nor report; `look` sees each
/// outcome.
template <typename Look>
void expect_clean_runs(ptx::Launch launch, const Look& look) {
  launch.hazards = ptx::HazardSearch::on;
  const std::uint64_t seeds = ptx::long_tests() ? 100 : 1;
  for (std::uint64_t i = 0; i < seeds + 2; ++i) {
    SCOPED_TRACE(testing::Message() << launch.file << ", run " << i);
    launch.schedule = i == 0   ? ptx::Schedule::eager
                      : i == 1 ? ptx::Schedule::late
                               : ptx::Schedule::random;
    launch.seed = i;
    const ptx::Outcome outcome = ptx::run(launch);
    EXPECT_EQ(outcome.fault.value_or(""), "");
    EXPECT_THAT(outcome.hazards, testing::IsEmpty());
    look(outcome);
  }
}

}  // namespace karat::kernels
