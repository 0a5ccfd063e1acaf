// Implementation of adversarial.hpp. "log2 units" are scores times d^-1/2 * log2 e, as the softmax
// sees them; a kernel's key order, tiles and windows are unknown here, so each kind does its harm
// in any of them.
#include "adversarial.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace karat::video {
namespace {

struct Place {
  const WorkloadSpec& spec;
  Tensor tensor;
  int batch, head;
  std::int64_t token;

  std::uint64_t noise() const { return stream(Purpose::noise, tensor, batch, head); }
  std::uint64_t choice() const { return stream(Purpose::choice, tensor, batch, head); }
  std::uint32_t word(std::size_t channel) const {
    return numerics::random_bits(spec.seed, choice(), token * spec.head_dim + channel);
  }
  /// Same for all tensors of a token.
  std::uint32_t token_word(std::size_t index) const {
    return numerics::random_bits(spec.seed, stream(Purpose::choice, Tensor::q, batch, head),
                                 token * spec.head_dim + index);
  }
  Extent3 coordinate() const { return token_coordinate(spec.grid, token); }
  bool odd_tile() const {
    const Extent3 c = coordinate();
    return (c.t / spec.tile.t + c.h / spec.tile.h + c.w / spec.tile.w) % 2 == 1;
  }
};

using Row = std::span<float>;

float signed_by(std::uint32_t bit, float x) { return bit & 1 ? -x : x; }

/// 2^e for |e| <= 126.
float power_of_two(int e) { return std::ldexp(1.0f, e); }

void normal(const Place& at, Row row) { normal_row(at.spec.seed, at.noise(), at.token, row); }

void outliers(const Place& at, Row row) {
  normal(at, row);
  std::vector<float> large(row.size());
  normal_row(at.spec.seed, at.choice(), at.token, large);
  const std::uint64_t dice = stream(Purpose::head, at.tensor, at.batch, at.head);
  for (std::size_t j = 0; j < row.size(); ++j) {
    const auto index = static_cast<std::uint64_t>(at.token) * row.size() + j;
    if (numerics::random_bits(at.spec.seed, dice, index) < 4294967u) row[j] += 10 * large[j];
  }
}

/// A value halfway between neighbouring E4M3 codes, 2^-10 (half the smallest subnormal) to 248.
float e4m3_midpoint(std::uint32_t word) {
  const int exponent = static_cast<int>((word >> 4) % 15) - 7;  // -7: between subnormals
  const float significand = (exponent < -6 ? 0 : 8) + static_cast<float>(word >> 1 & 7) + 0.5f;
  return signed_by(word, significand * power_of_two(std::max(exponent, -6) - 3));
}

/// Scales of tiles, tokens, tensors and channels are 2^-7 exactly: each row, and each channel once
/// in a while, holds 448 * 2^-7, so that every other value is a tie.
void ties(const Place& at, Row row) {
  const auto period = std::min(static_cast<std::int64_t>(row.size()), at.spec.grid.volume());
  for (std::size_t j = 0; j < row.size(); ++j) {
    const bool largest = (at.token + static_cast<std::int64_t>(j)) % period == 0;
    row[j] = (largest ? 448 : e4m3_midpoint(at.word(j))) * power_of_two(-7);
  }
}

/// K rows that score `score` log2 units with a Q row of ones.
float key_value(const Place& at, float score) {
  return score / (std::numbers::log2e_v<float> * std::sqrt(static_cast<float>(at.spec.head_dim)));
}

/// Scores rise by 8 log2 units from both far corners of the grid to its middle: whatever the order
/// of keys, the running maximum creeps up in steps that a lazy rescale does not follow.
void saturating_p(const Place& at, Row row) {
  if (at.tensor == Tensor::v) {
    normal(at, row);
    for (float& x : row) x = 1 + 0.25f * x;
    return;
  }
  const Extent3 c = at.coordinate(), g = at.spec.grid;
  const auto along = [](int i, int n) {
    return (static_cast<float>(i) + 0.5f) / static_cast<float>(n);
  };
  const float u = (along(c.t, g.t) + along(c.h, g.h) + along(c.w, g.w)) / 3;
  const float score = 8 * (1 - std::fabs(2 * u - 1));
  std::ranges::fill(row, at.tensor == Tensor::q ? 1 : key_value(at, score));
}

/// Q and K of a token are one random sign vector: a query's own key wins by about 100 log2 units.
void one_hot(const Place& at, Row row) {
  if (at.tensor == Tensor::v) return normal(at, row);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = signed_by(at.token_word(j), 3);
}

void zero_tiles(const Place& at, Row row) {
  normal(at, row);
  if (at.odd_tile()) std::ranges::fill(row, 0.0f);
  if (at.tensor == Tensor::v) row[0] = 0;  // a channel of zeros
}

/// Odd tiles hold f32 subnormals only; even ones values whose codes are E4M3 subnormals and zeros
/// beside a few large ones.
void subnormals(const Place& at, Row row) {
  for (std::size_t j = 0; j < row.size(); ++j) {
    const std::uint32_t word = at.word(j);
    const float small = static_cast<float>(1 + (word >> 1) % 127) * power_of_two(-133);
    const float tail = static_cast<float>(1 + (word >> 1) % 31) * power_of_two(-14);
    const float ordinary = word >> 16 & 63 ? tail : 448 * power_of_two(-3);
    row[j] = signed_by(word, at.odd_tile() ? small : ordinary);
  }
}

/// Magnitudes spread over 2^-36 .. 2^3, evenly in the exponent.
void dynamic_range(const Place& at, Row row) {
  for (std::size_t j = 0; j < row.size(); ++j) {
    const std::uint32_t word = at.word(j);
    const float significand = 1 + static_cast<float>(word >> 1 & 127) / 128;
    row[j] = signed_by(word, significand * power_of_two(static_cast<int>((word >> 8) % 40) - 36));
  }
}

/// One key in 256 scores 0, the others -21 .. -25 log2 units: below half of E4M3's smallest code
/// even times 448, so all tails flush while the row sum may still count them.
void tiny_tails(const Place& at, Row row) {
  if (at.tensor == Tensor::v) return normal(at, row);
  const std::uint32_t word = at.token_word(0);
  const bool peak = word % 256 == 0 || at.token == 0;
  const float tail = -21 - static_cast<float>(word >> 8 & 31) / 8;
  std::ranges::fill(
      row, at.tensor == Tensor::q ? 1 + (word >> 16 & 1) * 0.125f : key_value(at, peak ? 0 : tail));
}

void equal_keys(const Place& at, Row row) {
  Place same = at;
  if (at.tensor == Tensor::k) same.token = 0;
  normal(same, row);
}

/// Every query gives the first key 14 to 18 log2 units more than any other, and the first value is
/// 2^-6 of the others: the output lives in tails that E4M3 codes with a bit or two.
void sink(const Place& at, Row row) {
  if (at.tensor == Tensor::v) {
    normal(at, row);
    if (at.token == 0)
      for (float& x : row) x *= power_of_two(-6);
    return;
  }
  const float tail = -14 - static_cast<float>(at.token_word(0) & 31) / 8;
  std::ranges::fill(row, at.tensor == Tensor::q ? 1 : key_value(at, at.token == 0 ? 0 : tail));
}

struct Filler {
  WorkloadKind kind;
  void (*fill)(const Place&, Row);
};

constexpr Filler kFillers[] = {
    {WorkloadKind::gaussian, normal},
    {WorkloadKind::outliers, outliers},
    {WorkloadKind::ties, ties},
    {WorkloadKind::saturating_p, saturating_p},
    {WorkloadKind::one_hot, one_hot},
    {WorkloadKind::zero_tiles, zero_tiles},
    {WorkloadKind::subnormals, subnormals},
    {WorkloadKind::dynamic_range, dynamic_range},
    {WorkloadKind::tiny_tails, tiny_tails},
    {WorkloadKind::equal_keys, equal_keys},
    {WorkloadKind::sink, sink},
};

}  // namespace

void adversarial_rows(const WorkloadSpec& spec, int batch, int head, std::int64_t token,
                      std::span<float> q, std::span<float> k, std::span<float> v) {
  const auto fill = std::ranges::find(kFillers, spec.kind, &Filler::kind)->fill;
  fill({spec, Tensor::q, batch, head, token}, q);
  fill({spec, Tensor::k, batch, head, token}, k);
  fill({spec, Tensor::v, batch, head, token}, v);
}

void text_rows(const WorkloadSpec& spec, int batch, int head, std::int64_t token,
               std::span<float> q, std::span<float> k, std::span<float> v) {
  WorkloadSpec plain = spec;
  plain.kind = WorkloadKind::gaussian;
  adversarial_rows(plain, batch, head, token, q, k, v);
}

}  // namespace karat::video
