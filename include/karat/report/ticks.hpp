// Where an axis is marked, and what stands there: the one function of every picture.
#pragma once

#include <string>
#include <vector>

namespace karat::report {

enum class Scale { linear, logarithmic };

/// A marked place of an axis.
struct Tick {
  double value = 0;
  std::string label;
};

struct TickRules {
  Scale scale = Scale::linear;
  bool whole = false;  ///< of things that are counted, as steps: whole numbers alone
  int most = 7;        ///< marks that have room, 2 at least
};

/// Round values (1, 2 or 5 times a power of ten apart; powers of ten, with 2 and 5 between them
/// where there is room, on a logarithmic scale) within [low, high], ascending, `most` of them at
/// most, and 2 at least unless they are whole and fewer lie there. Every label is another one, and
/// reads back to its value within a thousandth of a step.
/// @pre low < high, finite, farther apart than 1e-12 of the larger; 0 < low on a logarithmic scale
std::vector<Tick> ticks(double low, double high, const TickRules& rules = {});

}  // namespace karat::report
