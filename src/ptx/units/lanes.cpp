// Names of what results rest on.
#include "units/lanes.hpp"

namespace karat::ptx::units {

std::string_view fidelity_name(Fidelity fidelity) {
  switch (fidelity) {
    case Fidelity::definition:
      return "by definition";
    case Fidelity::hardware_rows:
      return "exact by hardware rows";
    case Fidelity::supported:
      return "strongly supported";
    case Fidelity::stand_in:
      return "stand-in";
  }
  return "";
}

}  // namespace karat::ptx::units
