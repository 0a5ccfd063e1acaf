// Evaluation of a coefficient table, and the special cases around it.
#include "karat/evidence/interpolator.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/numerics/arithmetic/flush.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::evidence {
namespace {

constexpr std::uint32_t kSign = 0x80000000u;
constexpr std::uint32_t kInfinity = 0x7F800000u;
constexpr std::uint32_t kNan = 0x7FFFFFFFu;
constexpr std::uint32_t kFractionMask = (1u << kFractionBits) - 1;
constexpr int kBias = 127;

int width(const QuadraticTable& t) { return kFractionBits - t.segment_bits; }
int square_grid(const QuadraticTable& t) { return t.f2 + 2 * width(t) - t.square_dropped; }

/// Every partial sum fits 64 bits: grids of at most 2^-56 and coefficients below 16.
bool is_sound(const QuadraticTable& t) {
  const auto fits = [](int bits) { return bits >= 0 && bits <= 40; };
  if (t.segment_bits < 1 || t.segment_bits > 12 || !fits(t.f0) || !fits(t.f1) || !fits(t.f2) ||
      t.square_dropped < 0 || t.square_dropped > 2 * width(t) ||
      std::max(t.f1 + width(t), square_grid(t)) > kFinestGrid ||
      t.segments.size() != std::size_t{1} << t.segment_bits)
    return false;
  const auto small = [](std::int64_t c, int bits) {
    return c < std::int64_t{16} << bits && c > -(std::int64_t{16} << bits);
  };
  return std::ranges::all_of(t.segments, [&](const std::array<std::int64_t, 3>& c) {
    return small(c[0], t.f0) && small(c[1], t.f1) && small(c[2], t.f2);
  });
}

const QuadraticTable& checked(const QuadraticTable& t) {
  if (is_sound(t)) return t;
  throw Error(ErrorKind::usage, "coefficient table", "widths or number of segments cannot be");
}

}  // namespace

Interpolator::Interpolator(const QuadraticTable& table)
    : shift_(width(checked(table))),
      square_dropped_(table.square_dropped),
      grid_(std::max({table.f0, table.f1 + shift_, square_grid(table), kFractionBits})),
      mask_((1u << shift_) - 1) {
  for (const auto& [c0, c1, c2] : table.segments)
    segments_.push_back({c0 << (grid_ - table.f0), c1 << (grid_ - table.f1 - shift_),
                         c2 << (grid_ - square_grid(table))});
}

std::uint32_t ex2_bits(const Interpolator& table, std::uint32_t word) {
  const float x = std::bit_cast<float>(word);
  if (x != x) return kNan;
  if (x >= 128) return kInfinity;
  if (x < -126) return 0;
  const auto fixed = static_cast<std::int64_t>(
      std::floor(static_cast<double>(numerics::flush_subnormal(x)) * 0x1p23));
  const std::int64_t significand = std::clamp<std::int64_t>(
      table(static_cast<std::uint32_t>(fixed) & kFractionMask), 1 << 23, (1 << 24) - 1);
  const auto exponent = static_cast<std::uint32_t>((fixed >> kFractionBits) + kBias);
  return exponent << kFractionBits | (static_cast<std::uint32_t>(significand) & kFractionMask);
}

std::uint32_t rcp_bits(const Interpolator& table, std::uint32_t x) {
  const std::uint32_t sign = x & kSign, magnitude = x & ~kSign;
  if (magnitude > kInfinity) return kNan;
  if (magnitude == kInfinity) return sign;
  if (magnitude <= kFractionMask) return sign | kInfinity;
  const int exponent = static_cast<int>(magnitude >> kFractionBits) - kBias;
  const std::int64_t result = table(magnitude & kFractionMask);  // 2 / (1 + f)
  const std::int64_t field = kBias - 1 - exponent;
  const std::int64_t bits = (field << kFractionBits) + result - (std::int64_t{1} << kFractionBits);
  return bits <= std::int64_t{kFractionMask} ? sign : sign | static_cast<std::uint32_t>(bits);
}

nlohmann::ordered_json to_json(const QuadraticTable& table) {
  nlohmann::ordered_json json;
  json["segment_bits"] = table.segment_bits;
  json["square_dropped"] = table.square_dropped;
  json["fraction_bits"] = {table.f0, table.f1, table.f2};
  json["segments"] = table.segments;
  return json;
}

QuadraticTable table_from_json(const nlohmann::ordered_json& json, const std::string& subject) {
  QuadraticTable table;
  try {
    table.segment_bits = json.at("segment_bits").get<int>();
    table.square_dropped = json.at("square_dropped").get<int>();
    const auto bits = json.at("fraction_bits").get<std::array<int, 3>>();
    table.f0 = bits[0];
    table.f1 = bits[1];
    table.f2 = bits[2];
    table.segments = json.at("segments").get<std::vector<std::array<std::int64_t, 3>>>();
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::input_output, subject, error.what(), "fit it again: karat evidence");
  }
  if (!is_sound(table))
    throw Error(ErrorKind::input_output, subject, "widths or number of segments cannot be",
                "fit it again: karat evidence");
  return table;
}

}  // namespace karat::evidence
