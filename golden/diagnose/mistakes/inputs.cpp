// Mistakes about which head, and which of its rows, Q, K and V are read from.
#include <algorithm>

#include "actions.hpp"

namespace karat::golden {
namespace {

std::vector<float>& tensor(cases::HeadValues& values, int which) {
  return which == kQ ? values.q : which == kK ? values.k : values.v;
}

std::size_t query_heads(const Trial& trial) { return trial.base.inputs->shape().heads; }

/// Heads of K and V. Query head h reads number h / group.
std::size_t key_heads(const Trial& trial) {
  return query_heads(trial) / trial.base.inputs->shape().group();
}
std::size_t own_key_head(const Trial& trial) {
  return trial.base.head / trial.base.inputs->shape().group();
}

/// Inputs with the K and V of one key head.
cases::HeadValues of_key_head(const Trial& trial, std::size_t number) {
  return trial.base.values_of(number * trial.base.inputs->shape().group());
}

void take_keys(Trial& trial, std::size_t number) {
  cases::HeadValues other = of_key_head(trial, number);
  trial.own_values().k = std::move(other.k);
  trial.own_values().v = std::move(other.v);
}

}  // namespace

bool q_of_next_head(Trial& trial, int) {
  if (!trial.values || query_heads(trial) < 2) return false;
  trial.own_values().q = trial.base.values_of((trial.base.head + 1) % query_heads(trial)).q;
  return true;
}

bool keys_of_next_head(Trial& trial, int which) {
  if (!trial.values || key_heads(trial) < 2) return false;
  cases::HeadValues other = of_key_head(trial, (own_key_head(trial) + 1) % key_heads(trial));
  if (which == kK) trial.own_values().k = std::move(other.k);
  trial.own_values().v = std::move(other.v);
  return true;
}

/// Query head h reads key head h % key heads.
bool keys_of_wrong_group(Trial& trial, int) {
  const std::size_t wrong = trial.base.head % key_heads(trial);
  if (!trial.values || wrong == own_key_head(trial)) return false;
  take_keys(trial, wrong);
  return true;
}

/// The kernel reads BSHD memory where BHSD lies, for operands `which` (a bit each: 1 q, 2 k, 4 v).
bool heads_and_tokens_exchanged(Trial& trial, int which) {
  if (!trial.values) return false;
  const std::size_t tokens = trial.base.inputs->shape().tokens();
  const std::size_t channels = trial.base.inputs->shape().channels;
  const auto read = [&](int x, std::size_t heads, std::size_t own_head, auto&& values_of) {
    for (std::size_t h = 0; h < heads; ++h) {
      cases::HeadValues other = values_of(h);
      for (std::size_t s = 0; s < tokens; ++s)
        if (const std::size_t row = s * heads + own_head; row / tokens == h)
          std::copy_n(&tensor(other, x)[row % tokens * channels], channels,
                      &tensor(trial.own_values(), x)[s * channels]);
    }
    return heads > 1;
  };
  bool any = false;
  if (which >> kQ & 1)
    any |= read(kQ, query_heads(trial), trial.base.head,
                [&](std::size_t h) { return trial.base.values_of(h); });
  for (const int x : {kK, kV})
    if (which >> x & 1)
      any |= read(x, key_heads(trial), own_key_head(trial),
                  [&](std::size_t h) { return of_key_head(trial, h); });
  return any;
}

/// Two operands exchanged, 1 q and k, 2 k and v.
bool operands_exchanged(Trial& trial, int which) {
  if (!trial.values) return false;
  cases::HeadValues& own = trial.own_values();
  std::swap(own.k, which == 1 ? own.q : own.v);
  return true;
}

}  // namespace karat::golden
