// The order of visits.
#include "backward/schedule.hpp"

#include <algorithm>
#include <numeric>

namespace karat::attention {
namespace {

using recipe::BlockOrder;

std::vector<int> linear(std::size_t count, BlockOrder order) {
  std::vector<int> blocks(count);
  std::iota(blocks.begin(), blocks.end(), 0);
  if (order == BlockOrder::descending) std::reverse(blocks.begin(), blocks.end());
  return blocks;
}

/// Per query block the places of its key blocks.
class QueryTurns {
 public:
  explicit QueryTurns(const BackwardOrder& order) : turns_(order.keys_of.size()) {
    for (std::size_t i = 0; i < turns_.size(); ++i) {
      for (std::uint32_t turn = 0; turn < order.keys_of[i].size(); ++turn)
        turns_[i].push_back({order.keys_of[i][turn].key_block, turn});
      std::sort(turns_[i].begin(), turns_[i].end());
    }
  }
  std::uint32_t of(int query_block, std::int32_t key_block) const {
    const auto& turns = turns_[query_block];
    return std::lower_bound(turns.begin(), turns.end(), std::pair{key_block, std::uint32_t{0}})
        ->second;
  }

 private:
  std::vector<std::vector<std::pair<std::int32_t, std::uint32_t>>> turns_;
};

}  // namespace

Schedule make_schedule(const recipe::Backward& backward, const mask::BlockMap& blocks,
                       const BackwardOptions& options) {
  const BackwardOrder order = backward_order(backward, blocks, {});
  const QueryTurns query_turns(order);
  const std::vector<char> queries = chosen(options.query_blocks, blocks.query_blocks.size());
  const std::vector<char> keys = chosen(options.key_blocks, blocks.key_blocks.size());
  // Per query block its visits, as dQ adds them; per key block, as dV and dK do.
  std::vector<std::vector<ScheduledVisit>> of_query(blocks.query_blocks.size());
  std::vector<std::vector<ScheduledVisit>> of_key(blocks.key_blocks.size());
  for (std::size_t i = 0; i < of_query.size(); ++i) of_query[i].resize(order.keys_of[i].size());
  for (std::size_t k = 0; k < of_key.size(); ++k)
    for (const auto& [query_block, cover] : order.queries_of[k]) {
      const auto key_block = static_cast<std::int32_t>(k);
      const std::uint32_t turn = query_turns.of(query_block, key_block);
      const ScheduledVisit visit{query_block, key_block,
                                 turn,        static_cast<std::uint32_t>(of_key[k].size()),
                                 cover,       queries[query_block] != 0,
                                 keys[k] != 0};
      of_key[k].push_back(visit);
      of_query[query_block][turn] = visit;
    }
  Schedule schedule{.visits = {}, .item_begin = {0}};
  const auto add = [&](const ScheduledVisit& visit) {
    if (visit.adds_queries || visit.adds_keys) schedule.visits.push_back(visit);
  };
  const auto close = [&] { schedule.item_begin.push_back(schedule.visits.size()); };
  const bool by_query = backward.key_order == BlockOrder::partial_then_full &&
                        backward.query_order != BlockOrder::partial_then_full;
  if (by_query) {
    for (const int block : linear(of_query.size(), backward.query_order)) {
      schedule.visits.insert(schedule.visits.end(), of_query[block].begin(), of_query[block].end());
      close();
    }
    return schedule;
  }
  if (backward.key_order == BlockOrder::partial_then_full) {
    for (const bool partial : {true, false})
      for (const auto& visits : of_key) {
        for (const ScheduledVisit& visit : visits)
          if ((visit.cover == mask::Cover::partial) == partial) add(visit);
        close();
      }
    return schedule;
  }
  for (const int block : linear(of_key.size(), backward.key_order)) {
    std::ranges::for_each(of_key[block], add);
    close();
  }
  return schedule;
}

}  // namespace karat::attention
