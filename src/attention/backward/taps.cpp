// Recordings of the backward's stages.
#include <algorithm>

#include "backward/launch.hpp"

namespace karat::attention {

void record(const RecordedVisit& visit, std::span<const float> dq, std::size_t turn,
            BackwardTap& tap) {
  const std::size_t width = tap.key_position.size();
  const auto copy = [&](const auto* from, auto& to) {
    if (from == nullptr) return;
    to.resize(visit.rows * width);
    for (std::size_t i = 0; i < visit.rows; ++i)
      std::copy_n(from + i * visit.stride, visit.columns, &to[i * width + tap.column_begin[turn]]);
  };
  copy(visit.s, tap.s);
  copy(visit.p, tap.p);
  copy(visit.p_operand, tap.p_operand);
  copy(visit.p_codes, tap.p_codes);
  copy(visit.dp, tap.dp);
  copy(visit.ds, tap.ds);
  copy(visit.ds_operand, tap.ds_operand);
  copy(visit.ds_codes, tap.ds_codes);
  std::copy(dq.begin(), dq.end(), &tap.dq[turn * dq.size()]);
}

void record_keys(std::span<const float> dk, std::span<const float> dv, int key_block,
                 std::size_t turn, const Taps& taps) {
  KeyBlockTap* tap = taps.of_key[key_block];
  if (tap == nullptr) return;
  const std::size_t at = (taps.visited_before[key_block] + turn) * dk.size();
  std::copy(dk.begin(), dk.end(), &tap->dk[at]);
  std::copy(dv.begin(), dv.end(), &tap->dv[at]);
}

std::int64_t saturated_codes(const quant::Rule& rule, numerics::MatrixView<const float> ds) {
  if (!quant::has_scale(rule.format)) return 0;
  const auto beyond = quant::saturates(ds, rule, visit_groups(rule, ds.rows, ds.columns));
  return std::count(beyond.begin(), beyond.end(), 1);
}

}  // namespace karat::attention
