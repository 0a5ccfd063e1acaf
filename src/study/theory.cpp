// One pass over the keys of a row for its weights, one over the kept ones for the predictions.
#include "karat/study/theory.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "karat/attention/operations/kernel.hpp"
#include "karat/numerics/formats/format.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::study {
namespace {

// 3 / (8 ln 2): mean of 1/m^2, m log-uniform in [1, 2)
constexpr double kMantissa = 0.5410106403333613;
constexpr double kWeightOfCovariance = 1e-5;  // keys below do not count in Cov(k, v)
constexpr double kSmallestCode = 0x1p-10;     // half of E4M3's smallest: below, a code is 0

/// Variance of rounding x: relative to x^2, plus absolute.
struct Rounding {
  double relative = 0, absolute = 0;
};

Rounding rounding_of(numerics::FormatId id, double scale) {
  const numerics::Format& format = numerics::format(id);
  if (id == numerics::FormatId::f32) return {};
  if (format.kind == numerics::Kind::integer) return {0, scale * scale / 12};
  const double ulp = std::ldexp(1.0, -format.fraction_bits);
  return {ulp * ulp / 12 * kMantissa, 0};
}

/// One token's channels as doubles.
auto channels_of(std::span<const float> tensor, std::int32_t token, std::size_t d) {
  return Eigen::Map<const Eigen::ArrayXf>(tensor.data() + token * d, static_cast<Eigen::Index>(d))
      .cast<double>();
}

/// Eight running sums: a fixed order that vectors can follow.
double dot(const float* a, const float* b, std::size_t n) {
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (std::size_t lane = 0; lane < 8; ++lane)
      sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  double sum = 0;
  for (const double s : sums) sum += s;
  for (; i < n; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

struct KeptKey {
  std::int32_t token;
  std::int32_t position;
  double score;  ///< log2 units
  double p = 0;
};

/// Kept keys, visit by visit.
std::vector<std::vector<KeptKey>> kept_keys(const layout::Layout& layout, std::int64_t position,
                                            std::size_t block, const std::vector<double>& scores) {
  std::vector<std::vector<KeptKey>> visits;
  for (const auto& entry : layout.blocks.rows[block]) {
    auto& visit = visits.emplace_back();
    const video::Range keys = layout.blocks.key_blocks[entry.key_block];
    for (std::int64_t key = keys.begin; key < keys.end; ++key) {
      const std::int32_t token = layout.key_order.token_at[key];
      if (token < 0) continue;
      if (entry.cover == mask::Cover::partial && !layout.mask->keeps(position, key)) continue;
      visit.push_back({token, static_cast<std::int32_t>(key), scores[token]});
    }
  }
  return visits;
}

/// Mass that rounds to zero when every block's P refers to the running maximum of its time.
double lost_mass(const std::vector<std::vector<KeptKey>>& visits, const Underflow& at) {
  const bool reversed = at.order == recipe::KeyOrder::descending;
  double running = -std::numeric_limits<double>::infinity(), lost = 0;
  for (std::size_t i = 0; i < visits.size(); ++i) {
    const auto& visit = visits[reversed ? visits.size() - 1 - i : i];
    for (const KeptKey& key : visit) running = std::max(running, key.score);
    for (const KeptKey& key : visit)
      if (at.multiplier * numerics::exp2_f64(key.score - running) <= kSmallestCode) lost += key.p;
  }
  return lost;
}

/// Walks from the query outwards along each axis until the mask drops a key.
double window_edge(const recipe::Mask& mask, const layout::Layout& layout, std::int32_t token) {
  const video::Extent3 grid = layout.grid;
  const int across = grid.t + grid.h + grid.w;
  if (mask.kind == recipe::MaskKind::none) return across;
  const video::Extent3 at = video::token_coordinate(grid, token);
  const std::int64_t query = layout.order.position_of[token];
  int nearest = across;
  for (const auto axis : {&video::Extent3::t, &video::Extent3::h, &video::Extent3::w})
    for (const int direction : {-1, 1})
      for (int away = 1; away < nearest; ++away) {
        video::Extent3 key = at;
        key.*axis += direction * away;
        if (key.*axis < 0 || key.*axis >= grid.*axis) break;
        if (layout.mask->keeps(query, layout.key_order.position_of[video::token_index(grid, key)]))
          continue;
        nearest = away;
        break;
      }
  return nearest;
}

}  // namespace

RowTheory predict_row(const recipe::Recipe& recipe, const layout::Layout& layout,
                      const attention::HeadInput& input, const attention::QuantisedHead& coded,
                      std::int32_t token) {
  const std::size_t d = layout.channels;
  const auto tokens = static_cast<std::int32_t>(layout.order.tokens());
  const float* q = &input.q[token * d];
  const double scale = attention::score_scale(d);
  RowTheory row{.edge = window_edge(recipe.mask, layout, token)};
  std::vector<double> scores(tokens);
  double top = -std::numeric_limits<double>::infinity();
  for (std::int32_t j = 0; j < tokens; ++j) {
    scores[j] = dot(q, &input.k[j * d], d) * scale;
    top = std::max(top, scores[j]);
  }
  double all = 0, weighted = 0;
  for (const double s : scores) {
    const double w = numerics::exp2_f64(s - top);
    all += w;
    weighted += w * (s - top);
  }
  row.max_logit = top * std::numbers::ln2;
  row.entropy = (numerics::log2_f64(all) - weighted / all) * std::numbers::ln2;

  const std::int64_t position = layout.order.position_of[token];
  const auto& blocks = layout.blocks.query_blocks;
  const auto after =
      std::upper_bound(blocks.begin(), blocks.end(), position,
                       [](std::int64_t at, const video::Range& range) { return at < range.begin; });
  auto visits =
      kept_keys(layout, position, static_cast<std::size_t>(after - blocks.begin()) - 1, scores);
  double kept = 0;
  for (auto& visit : visits)
    for (KeptKey& key : visit) kept += key.p = numerics::exp2_f64(key.score - top);
  row.kept_mass = kept / all;
  row.lost.assign(std::size(kUnderflows), 0.0);
  if (kept == 0) return row;
  const auto channels = static_cast<Eigen::Index>(d);
  Eigen::ArrayXd o = Eigen::ArrayXd::Zero(channels), k_mean = o;
  for (auto& visit : visits)
    for (KeptKey& key : visit) {
      key.p /= kept;
      o += key.p * channels_of(input.v, key.token, d);
      k_mean += key.p * channels_of(input.k, key.token, d);
    }
  for (const double x : o) row.truth += x * x;
  for (std::size_t i = 0; i < row.lost.size(); ++i) row.lost[i] = lost_mass(visits, kUnderflows[i]);

  const Rounding p_rounding = rounding_of(recipe.p.format, 1.0 / recipe.p.multiplier);
  Eigen::MatrixXd covariance = Eigen::MatrixXd::Zero(channels, channels);  // of k and v
  Eigen::ArrayXd underflow = Eigen::ArrayXd::Zero(channels);
  const double multiplier = recipe.p.apply == recipe::PApply::multiply
                                ? double{recipe.p.multiplier}
                                : numerics::exp2_f64(recipe.p.offset);
  double running = -std::numeric_limits<double>::infinity();
  for (const auto& visit : visits) {
    for (const KeptKey& key : visit) running = std::max(running, key.score);
    for (const KeptKey& key : visit) {
      const float *k = &input.k[key.token * d], *v = &input.v[key.token * d];
      const Eigen::ArrayXd v_off = channels_of(input.v, key.token, d) - o;
      double off = 0, v_square = 0, v_variance = 0, k_variance = 0;
      const Rounding k_rounding = rounding_of(recipe.k.format, coded.k.scale(key.position, 0));
      for (std::size_t i = 0; i < d; ++i) {
        const Rounding v_rounding = rounding_of(recipe.v.format, coded.v.scale(key.position, i));
        off += v_off[i] * v_off[i];
        v_square += double{v[i]} * v[i];
        v_variance += v_rounding.relative * double{v[i]} * v[i] + v_rounding.absolute;
        const double q2 = double{q[i]} * q[i];
        k_variance += (k_rounding.relative * double{k[i]} * k[i] + k_rounding.absolute) * q2;
      }
      const double p2 = key.p * key.p;
      row.k += p2 * off * k_variance / static_cast<double>(d);
      row.v += p2 * v_variance;
      if (multiplier * numerics::exp2_f64(key.score - running) <= kSmallestCode &&
          p_rounding.relative > 0) {
        underflow += key.p * channels_of(input.v, key.token, d);
      } else if (key.score < running) {
        row.p += p_rounding.relative * p2 * v_square + p_rounding.absolute * v_square;
      }
      if (key.p > kWeightOfCovariance)
        covariance.noalias() += (key.p * (channels_of(input.k, key.token, d) - k_mean)).matrix() *
                                v_off.matrix().transpose();
    }
  }
  for (const double u : underflow) row.p += u * u;
  const Rounding q_rounding = rounding_of(recipe.q.format, coded.q.scale(position, 0));
  Eigen::ArrayXd sizes = Eigen::ArrayXd::Zero(channels);  // of the rows, squared; in a fixed order
  for (const auto& column : covariance.colwise()) sizes += column.array().square();
  for (std::size_t i = 0; i < d; ++i)
    row.q += (q_rounding.relative * double{q[i]} * q[i] + q_rounding.absolute) * sizes[i] /
             static_cast<double>(d);
  return row;
}

}  // namespace karat::study
