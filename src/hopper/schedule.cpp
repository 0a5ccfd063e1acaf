// Tiles over SMs: each SM runs its tiles back to back at the costs the SM simulation gives.
#include "schedule.hpp"

#include <algorithm>
#include <queue>
#include <utility>

#include "supply.hpp"

namespace karat::hopper {
namespace {

constexpr std::int64_t kWalked = 1 << 15;  // tiles that are handed out one by one

class Scheduler {
 public:
  Scheduler(const Machine& m, const Plan& p, TileCosts& costs) : m_(m), p_(p), costs_(costs) {}

  Schedule run(std::vector<TileRun> runs, std::int64_t copies) {
    out_.sm_end.assign(m_.sms, 0.0);
    add_busy(runs, copies);
    const std::int64_t tiles = total_tiles(runs);
    if (runs.size() == 1) {
      equal(runs.front().blocks, tiles * copies);
    } else {
      const std::int64_t walked = std::min(copies, kWalked / tiles);
      if (walked > 0) walk(runs, walked);
      out_.walked = walked * tiles;
      behind(runs, copies - walked, walked > 0);
    }
    out_.end = *std::max_element(out_.sm_end.begin(), out_.sm_end.end());
    return std::move(out_);
  }

 private:
  std::int64_t slots() const { return std::int64_t{m_.sms} * p_.ctas_per_sm; }

  void add_busy(const std::vector<TileRun>& runs, std::int64_t copies) {
    for (const TileRun& run : runs) {
      const TileCost cost = costs_.at(run.blocks, 1);
      for (int u = 0; u < kUnits; ++u) out_.busy[u] += cost.busy[u] * double(run.tiles) * copies;
    }
  }

  /// Full rounds on every slot, and the rest spread over the SMs.
  void equal(int blocks, std::int64_t tiles) {
    const std::int64_t rounds = tiles / slots(), rest = tiles % slots();
    const TileCost full = costs_.at(blocks, p_.ctas_per_sm);
    const double all = rounds > 0 ? full.first + double(rounds - 1) * full.next : 0;
    for (int sm = 0; sm < m_.sms; ++sm) {
      const int more = static_cast<int>(rest / m_.sms) + (sm < rest % m_.sms ? 1 : 0);
      double last = 0;
      if (more > 0) {
        const TileCost cost = costs_.at(blocks, more);
        last = rounds > 0 ? cost.next : cost.first;
      }
      out_.sm_end[sm] = all + last;
    }
  }

  void walk(std::vector<TileRun>& runs, std::int64_t copies) {
    if (p_.dispatch == Dispatch::fixed) return fixed(runs, copies);
    if (p_.order == TileOrder::longest_first) {
      // Heads side by side.
      std::stable_sort(runs.begin(), runs.end(),
                       [](const TileRun& a, const TileRun& b) { return a.blocks > b.blocks; });
      std::vector<TileRun> all = runs;
      for (TileRun& run : all) run.tiles *= copies;
      return dynamic(all, 1);
    }
    dynamic(runs, copies);
  }

  /// Heads that nobody walks add their mean work; alone, also half a tile at the end.
  void behind(const std::vector<TileRun>& runs, std::int64_t copies, bool others) {
    if (copies <= 0) return;
    double work = 0, longest = 0;
    for (const TileRun& run : runs) {
      const double cost = costs_.at(run.blocks, p_.ctas_per_sm).next;
      work += cost * double(run.tiles);
      longest = std::max(longest, cost);
    }
    const double uneven = others || p_.order == TileOrder::longest_first ? 0 : longest / 2;
    for (double& end : out_.sm_end)
      end += work * double(copies) / static_cast<double>(slots()) + uneven;
  }

  /// Tile i goes to slot i mod slots.
  void fixed(const std::vector<TileRun>& runs, std::int64_t copies) {
    std::vector<double> end(slots(), 0.0);
    std::int64_t i = 0;
    for (std::int64_t copy = 0; copy < copies; ++copy) {
      for (const TileRun& run : runs) {
        const TileCost cost = costs_.at(run.blocks, p_.ctas_per_sm);
        for (std::int64_t tile = 0; tile < run.tiles; ++tile, ++i)
          end[i % slots()] += i < slots() ? cost.first : cost.next;
      }
    }
    for (std::int64_t s = 0; s < slots(); ++s) {
      double& sm = out_.sm_end[s % m_.sms];
      sm = std::max(sm, end[s]);
    }
  }

  /// Tiles of one SM: how many, their work, and the last one's blocks.
  struct Load {
    double work = 0;
    std::int64_t tiles = 0;
    int last = 0;
  };

  /// The first tiles go to the SMs in turn, a further one to the SM that has least to do. CTAs of
  /// one SM share it evenly; at its end one of them is alone for half a tile on average. Which
  /// tiles of the first round meet on an SM follows from no source: one SM has the longest ones.
  void dynamic(const std::vector<TileRun>& runs, std::int64_t copies) {
    const int residents = p_.ctas_per_sm;
    std::vector<Load> loads(m_.sms);
    std::vector<std::vector<int>> few(m_.sms);  // blocks of the first residents - 1 tiles
    using Entry = std::pair<double, int>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> queue;
    std::int64_t served = 0;
    for (std::int64_t copy = 0; copy < copies; ++copy) {
      for (const TileRun& run : runs) {
        const TileCost cost = costs_.at(run.blocks, residents);
        for (std::int64_t tile = 0; tile < run.tiles; ++tile, ++served) {
          const bool first = served < slots();
          if (served == slots()) {
            for (int sm = 0; sm < m_.sms; ++sm) queue.push({loads[sm].work, sm});
          }
          int sm = static_cast<int>(served % m_.sms);
          if (!first) sm = queue.top().second, queue.pop();
          Load& load = loads[sm];
          load.work += (first ? cost.first : cost.next) / residents;
          ++load.tiles, load.last = run.blocks;
          if (load.tiles < residents) few[sm].push_back(run.blocks);
          if (!first) queue.push({load.work, sm});
        }
      }
    }
    for (int sm = 0; sm < m_.sms; ++sm) {
      const Load& load = loads[sm];
      if (load.tiles == 0) continue;
      out_.sm_end[sm] = load.tiles < residents
                            ? beginning(few[sm])
                            : load.work + alone(costs_.at(load.last, 1).next,
                                                costs_.at(load.last, residents).next, residents);
    }
    int longest = 0;
    for (const TileRun& run : runs) longest = std::max(longest, run.blocks);
    const auto together = std::min<std::int64_t>((served + m_.sms - 1) / m_.sms, residents);
    const std::vector<int> meeting(static_cast<std::size_t>(together), longest);
    out_.sm_end[0] = std::max(out_.sm_end[0], beginning(meeting));
  }

  /// What the last of `residents` CTAs takes longer than its share: half a tile on its own.
  static double alone(double lone, double shared, int residents) {
    return std::max(0.0, (lone - shared / residents) / 2);
  }

  /// An SM with fewer tiles than it has room for.
  double beginning(const std::vector<int>& blocks) {
    const int residents = static_cast<int>(blocks.size());
    double work = 0, longest = 0;
    for (const int each : blocks) {
      work += costs_.at(each, residents).first / residents;
      longest = std::max(longest, costs_.at(each, 1).first);
    }
    const int most = *std::max_element(blocks.begin(), blocks.end());
    work += alone(costs_.at(most, 1).first, costs_.at(most, residents).first, residents);
    return std::max(work, longest);
  }

  const Machine& m_;
  const Plan& p_;
  TileCosts& costs_;
  Schedule out_;
};

}  // namespace

Schedule schedule(const Machine& machine, const Plan& plan, TileCosts& costs,
                  std::vector<TileRun> runs, std::int64_t copies) {
  return Scheduler(machine, plan, costs).run(std::move(runs), copies);
}

}  // namespace karat::hopper
