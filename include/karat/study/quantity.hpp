// What a figure is a figure of: measures, and the parts, suspects and underflows they are of. Files
// name them as to_string() does.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "karat/recipe/recipe.hpp"
#include "karat/study/gradient_ladder.hpp"
#include "karat/study/ladder.hpp"

namespace karat::study {

/// What a study looks at: the output of the forward, or the gradients.
enum class Pass : std::uint8_t { forward, backward };
std::string_view to_string(Pass pass);

/// Which result of attention.
enum class Output : std::uint8_t { o, dq, dk, dv };
std::string_view to_string(Output output);
inline constexpr Output kGradients[] = {Output::dq, Output::dk, Output::dv};

enum class Metric : std::uint8_t {
  relative_l2,  ///< |a - b| / |b|
  cosine,       ///< a.b / (|a| |b|), of gradients alone
};

/// All are relative L2 errors unless said otherwise, of gradients cosines too; D = dense FP64
/// truth, M = FP64 truth under the recipe's mask, R = the recipe, F = the recipe without its mask.
enum class Measure : std::uint8_t {
  both,            ///< |R - D| / |D|
  mask,            ///< |M - D| / |D|
  fp8,             ///< |F - D| / |D|
  fp8_given_mask,  ///< |R - M| / |M|
  kept_mass,       ///< mean over rows of the attention that the mask keeps
  // Of cells with both branches, on the conditional one, through u + g*(c - u); e = R - D.
  guided,         ///< both
  guided_mask,    ///< mask
  guided_fp8,     ///< fp8
  guided_common,  ///< |(e_c + e_u)/2|: the guided error is this and the next, with a cross term
  guided_independent,  ///< (g - 1/2)*|e_c - e_u|
  // Of recipes that are taken apart, in the first branch.
  rung,     ///< |rung - D| / |D|, parts added one after the other (ladder.hpp)
  given,    ///< |rung - M| / |M|, the same rungs
  alone,    ///< that part and nothing else, against M; accumulator, exp2 and reciprocal: the step
            ///< from the rung before, since they need what stands before them
  theory,   ///< what arithmetic predicts for `alone`, of qk, p and v (theory.hpp)
  lost,     ///< kept attention whose code of P is 0, mean over rows (theory.hpp)
  suspect,  ///< |R' - D| / |D| for an edit R' of the recipe
  // Of gradients alone.
  alone_dense,  ///< that part and nothing else, without the mask, against D
};

/// Edits of a recipe that a literal reading of the published kernel suggests.
enum class Suspect : std::uint8_t { score_scale, p_times_1, e4m3_output };
struct SuspectRow {
  Suspect suspect;
  std::string_view name;
  std::string_view meaning;
};
/// All of them, in the order of the enumerators.
std::span<const SuspectRow> suspects();

/// Where P underflows: its multiplier, and the order in which the key blocks are visited.
struct Underflow {
  int multiplier;
  recipe::KeyOrder order;
  std::string_view name;
};
inline constexpr Underflow kUnderflows[] = {
    {1, recipe::KeyOrder::ascending, "1.ascending"},
    {1, recipe::KeyOrder::descending, "1.descending"},
    {256, recipe::KeyOrder::ascending, "256.ascending"},
    {256, recipe::KeyOrder::descending, "256.descending"},
    {448, recipe::KeyOrder::ascending, "448.ascending"},
    {448, recipe::KeyOrder::descending, "448.descending"},
};

/// A measure, and what it is of.
class Quantity {
 public:
  /// @pre a measure of the whole recipe: both to guided_independent
  constexpr Quantity(Measure measure) : measure_(measure) {}
  /// @pre rung, given, alone or theory
  constexpr Quantity(Measure measure, Part part)
      : measure_(measure), detail_(static_cast<std::uint8_t>(part)) {}
  constexpr Quantity(Suspect suspect)
      : measure_(Measure::suspect), detail_(static_cast<std::uint8_t>(suspect)) {}
  /// @pre of_gradients(measure)
  static constexpr Quantity of_gradient(Output output, Metric metric, Measure measure,
                                        GradientPart part = {}) {
    Quantity quantity(measure);
    quantity.output_ = output;
    quantity.metric_ = metric;
    quantity.detail_ = static_cast<std::uint8_t>(part);
    return quantity;
  }
  /// Measure::lost of kUnderflows[index].
  static constexpr Quantity lost(std::size_t index) {
    Quantity quantity(Measure::lost);
    quantity.detail_ = static_cast<std::uint8_t>(index);
    return quantity;
  }

  constexpr Measure measure() const { return measure_; }
  constexpr Output output() const { return output_; }
  constexpr Metric metric() const { return metric_; }
  /// @pre rung, given, alone or theory, of o
  constexpr Part part() const { return static_cast<Part>(detail_); }
  /// Whether gradients have this measure.
  static constexpr bool of_gradients(Measure measure) {
    return measure <= Measure::fp8_given_mask ||
           (measure >= Measure::rung && measure <= Measure::alone) ||
           measure == Measure::alone_dense;
  }
  friend constexpr auto operator<=>(const Quantity&, const Quantity&) = default;

 private:
  friend std::string to_string(Quantity quantity);
  friend Quantity parse_quantity(std::string_view name, const std::string& subject);
  Output output_ = Output::o;
  Metric metric_ = Metric::relative_l2;
  Measure measure_;
  std::uint8_t detail_ = 0;  ///< index into parts(), gradient_parts(), suspects() or kUnderflows
};

/// "both", "rung.qk", "theory.lost.448.ascending", "suspect.p_times_1"; of gradients
/// "dq.both", "dk.alone.ds", "dv.cosine.alone.p".
std::string to_string(Quantity quantity);
/// @throws Error(input_output) naming `subject` for any other word
Quantity parse_quantity(std::string_view name, const std::string& subject);

}  // namespace karat::study
