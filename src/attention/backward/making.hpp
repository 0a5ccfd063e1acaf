// Private: P or dS of a fast visit becomes an operand, some rows at a time.
#pragma once

#include "backward/fast_visit.hpp"

namespace karat::attention {

/// The same bits as visit_operand() and saturated_codes().
class Making {
 public:
  /// @param from    whole blocks, zero behind the columns
  /// @param values  receive what the products read, unless the operand is f32
  Making(const BackwardVisit& v, const quant::Rule& rule, Lines<float>& from, Lines<float>& values,
         Lines<std::uint8_t>& codes);

  /// Rows that stand in `from` now: coded at once, unless one scale waits for all of them.
  void rows(std::size_t first, std::size_t count);
  /// Behind the last rows.
  MadeOperand finish();

 private:
  bool kept() const { return rule_.format == numerics::FormatId::f32; }
  bool coded() const { return quant::has_scale(rule_.format); }
  bool given() const { return rule_.scale_rule == quant::ScaleRule::given; }
  bool waits() const { return coded() && !given() && rule_.group != quant::Group::channels_16; }
  Block block(std::size_t first, std::size_t count) const;
  std::span<float> maxima(std::size_t first, std::size_t count);
  void set_groups(std::span<const float> maxima);
  void set_all(float amax, std::size_t groups);
  void code(std::size_t first, std::size_t count);

  const BackwardVisit& v_;
  const quant::Rule& rule_;
  Lines<float>& from_;
  Lines<float>& values_;
  Lines<std::uint8_t>& codes_;
  float largest_ = 0;  ///< magnitude so far, where it is waited for
  bool divide_ = false;
  MadeOperand made_;
};

}  // namespace karat::attention
