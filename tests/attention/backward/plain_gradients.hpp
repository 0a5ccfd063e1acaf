// Attention and its gradients in long double by the textbook's formulas, dense loops over pairs.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

namespace karat::attention {

using Wide = std::vector<long double>;
using Keeps = std::function<bool(std::size_t query, std::size_t key)>;

inline Wide widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }

/// P = softmax(q k^T / sqrt(d)), queries x keys; 0 in rows that keep nothing.
inline Wide plain_weights(const Wide& q, const Wide& k, std::size_t d, const Keeps& keeps) {
  const std::size_t queries = q.size() / d, keys = k.size() / d;
  Wide p(queries * keys, 0.0L);
  for (std::size_t i = 0; i < queries; ++i) {
    long double sum = 0, largest = -HUGE_VALL;
    const auto score = [&](std::size_t n) {
      long double s = 0;
      for (std::size_t j = 0; j < d; ++j) s += q[i * d + j] * k[n * d + j];
      return s / std::sqrt(static_cast<long double>(d));
    };
    for (std::size_t n = 0; n < keys; ++n)
      if (keeps(i, n)) largest = std::max(largest, score(n));
    for (std::size_t n = 0; n < keys; ++n)
      if (keeps(i, n)) sum += p[i * keys + n] = std::exp(score(n) - largest);
    for (std::size_t n = 0; sum > 0 && n < keys; ++n) p[i * keys + n] /= sum;
  }
  return p;
}

/// sum over tokens and channels of o dO: the loss whose gradients are dq, dk, dv.
inline long double plain_loss(const Wide& q, const Wide& k, const Wide& v, const Wide& d_o,
                              std::size_t d, const Keeps& keeps) {
  const std::size_t queries = q.size() / d, keys = k.size() / d;
  const Wide p = plain_weights(q, k, d, keeps);
  long double loss = 0;
  for (std::size_t i = 0; i < queries; ++i)
    for (std::size_t n = 0; n < keys; ++n)
      for (std::size_t j = 0; j < d; ++j) loss += p[i * keys + n] * v[n * d + j] * d_o[i * d + j];
  return loss;
}

struct PlainGradients {
  Wide dq, dk, dv;
};
inline PlainGradients plain_gradients(const Wide& q, const Wide& k, const Wide& v, const Wide& d_o,
                                      std::size_t d, const Keeps& keeps) {
  const std::size_t queries = q.size() / d, keys = k.size() / d;
  const Wide p = plain_weights(q, k, d, keeps);
  PlainGradients g{Wide(q.size()), Wide(k.size()), Wide(v.size())};
  const long double root = 1 / std::sqrt(static_cast<long double>(d));
  for (std::size_t i = 0; i < queries; ++i) {
    Wide dp(keys);
    long double delta = 0;
    for (std::size_t n = 0; n < keys; ++n) {
      for (std::size_t j = 0; j < d; ++j) dp[n] += d_o[i * d + j] * v[n * d + j];
      delta += p[i * keys + n] * dp[n];
    }
    for (std::size_t n = 0; n < keys; ++n) {
      const long double ds = p[i * keys + n] * (dp[n] - delta) * root;
      for (std::size_t j = 0; j < d; ++j) {
        g.dq[i * d + j] += ds * k[n * d + j];
        g.dk[n * d + j] += ds * q[i * d + j];
        g.dv[n * d + j] += p[i * keys + n] * d_o[i * d + j];
      }
    }
  }
  return g;
}

}  // namespace karat::attention
