// karat inspect --fragment: which (row, column) a thread's registers hold.
#include "case/inspect_fragment.hpp"

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "karat/golden/fragment.hpp"
#include "values.hpp"

namespace karat::cli {
namespace {

enum class Operand { d, a };
constexpr Named<Operand> kOperands[] = {{"d", Operand::d}, {"a", Operand::a}};

struct Line {
  int element;
  golden::FragmentPlace place;
};

}  // namespace

int inspect_fragment(const cxxopts::ParseResult& given, const TokenOf& token_of) {
  const Operand operand = parse_choice(required(given, "fragment"), "--fragment", kOperands);
  const int n =
      static_cast<int>(parse_integer(given["columns"].as<std::string>(), "--columns", 8, 256));
  const int bits =
      static_cast<int>(parse_integer(given["bits"].as<std::string>(), "--bits", 8, 16));
  if (n % 8 != 0)
    throw Error(ErrorKind::usage, "--columns", "wgmma's N is a multiple of 8", "give 8 to 256");
  if (bits != 8 && bits != 16)
    throw Error(ErrorKind::usage, "--bits", "A is held in 8 or 16 bits", "give one of them");
  const int thread = static_cast<int>(
      parse_integer(required(given, "thread"), "--thread", 0, golden::kWarpgroupThreads - 1));
  const int count = operand == Operand::d ? n / 2 : 4 * (32 / bits);

  std::vector<Line> lines;
  for (int e = 0; e < count; ++e)
    lines.push_back({e, operand == Operand::d ? golden::accumulator_place(thread, e)
                                              : golden::a_operand_place(thread, e, bits)});
  if (const auto text = text_of(given, "register")) {
    const auto wanted = parse_integer(*text, "--register", 0, count - 1);
    lines = {lines[static_cast<std::size_t>(wanted)]};
  }

  const char* name = operand == Operand::d ? "word" : "element";
  if (given.count("json") > 0) {
    files::Json body{{"operand", operand == Operand::d ? "d" : "a"}, {"thread", thread}};
    body["places"] = files::Json::array();
    for (const Line& line : lines) {
      files::Json place{
          {name, line.element}, {"row", line.place.row}, {"column", line.place.column}};
      const FragmentTokens tokens = token_of(line.place.row, line.place.column);
      if (tokens.query >= 0) place["query_token"] = tokens.query;
      if (tokens.key >= 0) place["key_token"] = tokens.key;
      body["places"].push_back(place);
    }
    print_json("inspect.fragment", 1, body);
    return match;
  }
  for (const Line& line : lines) {
    const FragmentTokens tokens = token_of(line.place.row, line.place.column);
    std::cout << "thread " << thread << " " << name << " " << line.element << ": row "
              << line.place.row << " column " << line.place.column;
    if (tokens.query >= 0) std::cout << " query token " << tokens.query;
    if (tokens.key >= 0) std::cout << " key token " << tokens.key;
    std::cout << "\n";
  }
  return match;
}

}  // namespace karat::cli
