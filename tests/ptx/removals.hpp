// Kernels with one synchronisation taken out of their text, and whether a run notices.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/ptx/run.hpp"

namespace karat::ptx {

/// A synchronisation taken out of a kernel's text.
struct Removal {
  std::size_t line = 0;
  std::string name, text;
};

inline std::vector<Removal> removals_of(const std::string& whole) {
  static constexpr std::string_view kNames[] = {"bar.sync",
                                                "bar.arrive",
                                                "bar.warp.sync",
                                                "fence.",
                                                "membar.",
                                                "mbarrier.init",
                                                "mbarrier.inval",
                                                "mbarrier.arrive",
                                                "mbarrier.try_wait",
                                                "barrier.sync",
                                                "barrier.arrive",
                                                "barrier.cluster",
                                                "cp.async.mbarrier",
                                                "cp.async.commit",
                                                "cp.async.wait",
                                                "cp.async.bulk.com",
                                                "cp.async.bulk.wait",
                                                "wgmma.commit_group",
                                                "wgmma.wait_group"};
  std::vector<Removal> list;
  std::size_t line = 0;
  for (std::size_t begin = 0, end = 0; begin < whole.size(); begin = end + 1) {
    end = std::min(whole.find('\n', begin), whole.size());
    ++line;
    const std::string_view text = std::string_view(whole).substr(begin, end - begin);
    for (const std::string_view name : kNames) {
      const std::size_t at = text.find(name);
      if (at == std::string_view::npos || text.find("//") < at) continue;
      Removal removal{.line = line, .name = std::string(name), .text = whole};
      removal.text.replace(begin, text.size(), text.size(), ' ');
      // A loop around the wait ends at once when its predicate, the first operand, is true.
      if (name == "mbarrier.try_wait") {
        const std::size_t first = text.find_first_not_of(" \t", text.find_first_of(" \t", at));
        const std::string_view predicate = text.substr(first, text.find(',') - first);
        const std::string instead = "setp.eq.u32 " + std::string(predicate) + ",0,0;";
        removal.text.replace(begin, instead.size(), instead);
      }
      list.push_back(std::move(removal));
      break;
    }
  }
  return list;
}

/// Why a removal is not noticed, by its line: what it orders is ordered without it.
struct Unnoticed {
  std::size_t line;
  const char* why;
};

/// What a search over all removals of a launch's kernel, or every `step`th, came to.
struct Search {
  std::size_t removed = 0, noticed = 0, faults = 0, needless = 0;
  std::string wrong;  ///< neither noticed nor explained, or noticed although needless; empty: none

  /// Of those that are not needless.
  double share() const {
    return static_cast<double>(noticed) / static_cast<double>(removed - needless);
  }
};

/// Each removal runs under the eager schedule, then under the late one; then likewise in the next
/// launch of the same kernel.
inline Search search_removals(std::vector<Launch> launches, std::span<const Unnoticed> unnoticed,
                              std::size_t step) {
  const std::vector<Removal> removals = removals_of(launches.front().ptx);
  Search search;
  for (std::size_t i = 0; i < removals.size(); i += step) {
    ++search.removed;
    bool noticed = false;
    for (std::size_t j = 0; j < 2 * launches.size() && !noticed; ++j) {
      Launch& launch = launches[j / 2];
      launch.hazards = HazardSearch::on;
      launch.ptx = removals[i].text;
      launch.schedule = j % 2 == 0 ? Schedule::eager : Schedule::late;
      const Outcome outcome = run(launch);
      noticed = outcome.fault.has_value() || !outcome.hazards.empty();
      search.faults += outcome.fault.has_value();
    }
    search.noticed += noticed;
    const bool needless =
        std::ranges::find(unnoticed, removals[i].line, &Unnoticed::line) != unnoticed.end();
    search.needless += needless;
    if (noticed == needless)
      search.wrong += (noticed ? " noticed: " : " not noticed: ") +
                      std::to_string(removals[i].line) + " " + removals[i].name;
  }
  std::printf("%s: %zu removed, %zu needless, %zu noticed, %zu of them as faults\n",
              launches.front().file.c_str(), search.removed, search.needless, search.noticed,
              search.faults);
  return search;
}
inline Search search_removals(Launch launch, std::span<const Unnoticed> unnoticed,
                              std::size_t step) {
  std::vector<Launch> launches;
  launches.push_back(std::move(launch));
  return search_removals(std::move(launches), unnoticed, step);
}

/// Whether whole sweeps are asked for.
inline bool long_tests() { return std::getenv("KARAT_LONG") != nullptr; }

}  // namespace karat::ptx
