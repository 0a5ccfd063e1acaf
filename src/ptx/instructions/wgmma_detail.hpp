// Private: what a wgmma instruction fixes when it is decoded.
#pragma once

#include <string>
#include <vector>

#include "program/program.hpp"
#include "units/wgmma.hpp"

namespace karat::ptx {

struct WgmmaDetail {
  units::WgmmaOp op;
  std::string kind;  ///< the opcode and what else decides `op`
  std::vector<Place> d, a;
  Place a_descriptor = 0, b_descriptor = 0, scale_d = 0;
  std::uint32_t pc = 0;  ///< of its micro-operation
};

}  // namespace karat::ptx
