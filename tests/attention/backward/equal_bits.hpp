// Whether two backward runs wrote the same bits, stage by stage.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "karat/attention/backward.hpp"

namespace karat::attention {

/// The first place where two arrays differ, or nothing.
template <typename T>
std::string difference(const std::vector<T>& a, const std::vector<T>& b, const std::string& what) {
  if (a.size() != b.size())
    return what + ": " + std::to_string(a.size()) + " and " + std::to_string(b.size()) + " values";
  for (std::size_t i = 0; i < a.size(); ++i)
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0)
      return what + "[" + std::to_string(i) + "]: " + std::to_string(a[i]) + " against " +
             std::to_string(b[i]);
  return "";
}

/// Stages in the order of computation: empty where all are equal.
inline std::string difference(const BackwardResult& a, const BackwardResult& b) {
  std::string found;
  const auto compare = [&](const auto& x, const auto& y, const std::string& what) {
    if (found.empty()) found = difference(x, y, what);
  };
  if (a.delta.size() != b.delta.size() || a.query_taps.size() != b.query_taps.size() ||
      a.key_taps.size() != b.key_taps.size())
    return "other heads or taps";
  for (std::size_t h = 0; h < a.delta.size(); ++h) compare(a.delta[h], b.delta[h], "delta");
  for (std::size_t t = 0; t < a.query_taps.size(); ++t) {
    const BackwardTap &x = a.query_taps[t], &y = b.query_taps[t];
    const std::string tap = "query block " + std::to_string(t) + " ";
    compare(x.key_block, y.key_block, tap + "key_block");
    compare(x.column_begin, y.column_begin, tap + "column_begin");
    compare(x.key_position, y.key_position, tap + "key_position");
    compare(x.s, y.s, tap + "s");
    compare(x.p, y.p, tap + "p");
    compare(x.p_operand, y.p_operand, tap + "p_operand");
    compare(x.p_codes, y.p_codes, tap + "p_codes");
    compare(x.dp, y.dp, tap + "dp");
    compare(x.ds, y.ds, tap + "ds");
    compare(x.ds_operand, y.ds_operand, tap + "ds_operand");
    compare(x.ds_codes, y.ds_codes, tap + "ds_codes");
    compare(x.dq, y.dq, tap + "dq");
  }
  for (std::size_t t = 0; t < a.key_taps.size(); ++t) {
    const std::string tap = "key block " + std::to_string(t) + " ";
    compare(a.key_taps[t].query_block, b.key_taps[t].query_block, tap + "query_block");
    compare(a.key_taps[t].dv, b.key_taps[t].dv, tap + "dv");
    compare(a.key_taps[t].dk, b.key_taps[t].dk, tap + "dk");
  }
  for (std::size_t h = 0; h < a.dq.size(); ++h) compare(a.dq[h], b.dq[h], "dq");
  compare(a.dk, b.dk, "dk");
  compare(a.dv, b.dv, "dv");
  if (found.empty() && a.saturated_ds_codes != b.saturated_ds_codes)
    return "saturated_ds_codes: " + std::to_string(a.saturated_ds_codes) + " against " +
           std::to_string(b.saturated_ds_codes);
  return found;
}

}  // namespace karat::attention
