// Evaluation of a coefficient table, and the special cases around it.
#include "karat/evidence/interpolator.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "karat/numerics/error.hpp"

namespace karat::evidence {
namespace {

constexpr std::uint32_t kSign = 0x80000000u;
constexpr std::uint32_t kInfinity = 0x7F800000u;
constexpr std::uint32_t kNan = 0x7FFFFFFFu;
constexpr std::uint32_t kFractionMask = (1u << kFractionBits) - 1;
constexpr int kBias = 127;

bool is_sound(const QuadraticTable& t) {
  const auto fits = [](int bits) { return bits >= 0 && bits <= 40; };
  const int w = kFractionBits - t.segment_bits;
  return t.segment_bits >= 1 && t.segment_bits <= 12 && fits(t.f0) && fits(t.f1) && fits(t.f2) &&
         t.square_dropped >= 0 && t.square_dropped <= 2 * w &&
         std::max({t.f0, t.f1 + w, t.f2 + 2 * w - t.square_dropped}) <= 60 &&
         t.segments.size() == std::size_t{1} << t.segment_bits;
}

}  // namespace

Interpolator::Interpolator(const QuadraticTable& table) {
  if (!is_sound(table))
    throw Error(ErrorKind::usage, "coefficient table", "widths or number of segments cannot be");
  const int w = kFractionBits - table.segment_bits;
  shift_ = w;
  square_dropped_ = table.square_dropped;
  mask_ = (1u << w) - 1;
  const int grid1 = table.f1 + w, grid2 = table.f2 + 2 * w - table.square_dropped;
  grid_ = std::max({table.f0, grid1, grid2, kFractionBits});
  for (const auto& [c0, c1, c2] : table.segments)
    segments_.push_back({c0 << (grid_ - table.f0), c1 << (grid_ - grid1), c2 << (grid_ - grid2)});
}

std::uint32_t ex2_bits(const Interpolator& table, std::uint32_t x) {
  const std::uint32_t magnitude = x & ~kSign;
  if (magnitude > kInfinity) return kNan;
  const bool negative = x & kSign;
  const int exponent = static_cast<int>(magnitude >> kFractionBits) - kBias;
  if (exponent >= 7 + (negative ? 1 : 0)) return negative ? 0 : kInfinity;  // beyond 2^128, 2^-256
  std::int64_t fixed = 0;
  if (magnitude > kFractionMask && exponent >= -kFractionBits) {
    const std::int64_t significand = (magnitude & kFractionMask) | (1 << kFractionBits);
    fixed = exponent >= 0 ? significand << exponent : significand >> -exponent;
  }
  if (negative) fixed = -fixed;
  const std::int64_t power = fixed >> kFractionBits;
  if (power < 1 - kBias) return 0;
  const std::int64_t result = table(static_cast<std::uint32_t>(fixed) & kFractionMask);
  // A sum that reaches 2 carries into the exponent, as the addition of fields does.
  return static_cast<std::uint32_t>(((power + kBias) << kFractionBits) + result -
                                    (std::int64_t{1} << kFractionBits));
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
