// The tables of mistakes one after the other: each row one small transformation of inputs, layout,
// operands, kernel or output.
#include "actions.hpp"

namespace karat::golden {

std::span<const Mistake> mistakes() {
  static const std::vector<Mistake> all = [] {
    std::vector<Mistake> rows;
    for (const auto table : {mistakes_of_place(), mistakes_of_operands(), mistakes_of_kernel()})
      rows.insert(rows.end(), table.begin(), table.end());
    return rows;
  }();
  return all;
}

}  // namespace karat::golden
