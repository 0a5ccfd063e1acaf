#include "numerics/function_values.hpp"

#include <bit>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.hpp"
#include "karat/files/json_file.hpp"
#include "karat/report/text.hpp"

namespace karat::cli {
namespace {

using numerics::Mufu;
using numerics::MufuSteps;

std::string bits_of(float x) { return report::print("%08x", std::bit_cast<unsigned>(x)); }

/// The shortest decimal that reads back as the same f32.
std::string decimal(float x) {
  if (x != x) return "nan";
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

files::Json describe(float x) { return {{"bits", bits_of(x)}, {"value", decimal(x)}}; }

files::Json describe(const MufuSteps& steps) {
  if (!steps.tabulated) return nullptr;
  return {{"segment", steps.segment},  {"coefficients", {steps.c0, steps.c1, steps.c2}},
          {"offset", steps.offset},    {"square", steps.square},
          {"sum", steps.sum},          {"significand", steps.significand},
          {"exponent", steps.exponent}};
}

void print_steps(Mufu function, const MufuSteps& steps) {
  if (!steps.tabulated) {
    std::printf("  special value: no table is asked\n");
    return;
  }
  std::printf("  segment %u: coefficients %lld, %lld, %lld\n", steps.segment,
              static_cast<long long>(steps.c0), static_cast<long long>(steps.c1),
              static_cast<long long>(steps.c2));
  std::printf("  offset %u, squarer %lld, sum %lld\n", steps.offset,
              static_cast<long long>(steps.square), static_cast<long long>(steps.sum));
  if (function == Mufu::lg2)
    std::printf("  result %lld * 2^-36 + %d, rounded to nearest\n",
                static_cast<long long>(steps.significand), steps.exponent);
  else
    std::printf("  result %lld * 2^%d\n", static_cast<long long>(steps.significand),
                steps.exponent);
}

}  // namespace

void show_function(Mufu function, numerics::FixedPointCut cut,
                   const std::vector<FunctionValue>& values, Explanation explanation, bool json) {
  const std::string name(mufu_name(function));
  files::Json body{{"function", name}, {"values", files::Json::array()}};
  for (const auto& [given, x] : values) {
    const MufuSteps steps = mufu_steps(function, x, cut);
    if (json) {
      files::Json row{{"given", given}, {"x", describe(x)}, {"result", describe(steps.result)}};
      if (explanation == Explanation::steps) row["steps"] = describe(steps);
      body["values"].push_back(std::move(row));
      continue;
    }
    std::printf("%s(%s)  x %s  result %s  %s\n", name.c_str(), given.c_str(), bits_of(x).c_str(),
                bits_of(steps.result).c_str(), decimal(steps.result).c_str());
    if (explanation == Explanation::steps) print_steps(function, steps);
  }
  if (json) print_json("codec", 1, body);
}

}  // namespace karat::cli
