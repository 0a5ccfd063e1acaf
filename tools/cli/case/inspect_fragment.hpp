// karat inspect --fragment.
#pragma once

#include <cstdint>
#include <functional>

#include "command.hpp"

namespace karat::cli {

/// Tokens (original order) behind a row and a column of a block of scores; -1 where there is none.
struct FragmentTokens {
  std::int64_t query = -1;
  std::int64_t key = -1;
};
using TokenOf = std::function<FragmentTokens(int row, int column)>;

int inspect_fragment(const cxxopts::ParseResult& given, const TokenOf& token_of);

}  // namespace karat::cli
