// karat codec: a value's bits and neighbours in any format, a format's whole table, and conversion
// of raw little-endian files from one format to another.
#include <bit>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "karat/numerics/formats/decimal.hpp"
#include "numerics/function_values.hpp"
#include "numerics/raw_file.hpp"
#include "options.hpp"

namespace karat::cli {
namespace {

using numerics::Format;
using numerics::Kind;

constexpr Named<numerics::Rounding> kRoundings[] = {
    {"nearest_even", numerics::Rounding::nearest_even},
    {"toward_zero", numerics::Rounding::toward_zero},
    {"up", numerics::Rounding::up},
    {"down", numerics::Rounding::down},
    {"nearest_away", numerics::Rounding::nearest_away},
    {"stochastic", numerics::Rounding::stochastic}};

constexpr Named<numerics::FixedPointCut> kCuts[] = {
    {"toward_zero", numerics::FixedPointCut::toward_zero},
    {"toward_minus_infinity", numerics::FixedPointCut::toward_minus_infinity}};

std::string hex(const Format& f, std::uint32_t code) {
  return report::print("%0*x", (f.bits + 3) / 4, static_cast<unsigned>(code));
}

/// Sign, exponent and fraction apart.
std::string fields(const Format& f, std::uint32_t code) {
  std::string bits;
  for (int i = f.bits - 1; i >= 0; --i) {
    bits += (code >> i) & 1 ? '1' : '0';
    const bool ends_sign = i == f.bits - 1 && f.has_sign();
    const bool ends_exponent = f.kind == Kind::floating && i == f.fraction_bits;
    if ((ends_sign || ends_exponent) && i > 0 && f.kind != Kind::integer) bits += '\'';
  }
  return bits;
}

/// The shortest decimal that reads back as the same f32; all digits of an integer.
std::string decimal(const Format& f, std::uint32_t code) {
  if (f.kind == Kind::integer) return std::to_string(numerics::ordinal(code, f.id));
  const float x = numerics::decode(code, f.id);
  if (x != x) return "nan";
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, x).ptr;
  return std::string(text, end);
}

files::Json describe(const Format& f, std::uint32_t code) {
  return {{"code", hex(f, code)}, {"bits", fields(f, code)}, {"value", decimal(f, code)}};
}

void print_code(const char* label, const Format& f, std::uint32_t code) {
  std::printf("%-8s %s  %s  %s\n", label, hex(f, code).c_str(), fields(f, code).c_str(),
              decimal(f, code).c_str());
}

/// A decimal, rounded by the policy, or "code:HEX".
std::uint32_t parse_code(const std::string& text, const Format& f, const numerics::Policy& policy) {
  constexpr std::string_view kPrefix = "code:";
  if (!text.starts_with(kPrefix)) {
    const auto rounded = numerics::encode_decimal(text, f.id, policy);
    if (rounded) return *rounded;
    throw Error(ErrorKind::usage, "value \"" + text + "\"", "is no number",
                "give a decimal such as 0.3, or code:7e for the bits of the format");
  }
  std::uint32_t code = 0;
  const char* first = text.data() + kPrefix.size();
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(first, last, code, 16);
  if (first == last || end != last || error != std::errc() || (code & ~f.mask()) != 0) {
    throw Error(
        ErrorKind::usage, "\"" + text + "\"", "is no code of " + std::string(f.name),
        "give up to " + std::to_string((f.bits + 3) / 4) + " hexadecimal digits after code:");
  }
  return code;
}

int show_values(const Format& f, const std::vector<std::string>& values,
                const numerics::Policy& policy, bool json) {
  files::Json body{{"format", f.name}, {"values", files::Json::array()}};
  for (const std::string& text : values) {
    const std::uint32_t code = parse_code(text, f, policy);
    const std::uint32_t below = numerics::next_down(code, f.id),
                        above = numerics::next_up(code, f.id);
    if (json) {
      body["values"].push_back({{"given", text},
                                {"code", describe(f, code)},
                                {"below", describe(f, below)},
                                {"above", describe(f, above)}});
      continue;
    }
    std::printf("%s in %s\n", text.c_str(), std::string(f.name).c_str());
    print_code("code", f, code);
    print_code("below", f, below);
    print_code("above", f, above);
  }
  if (json) print_json("codec", 1, body);
  return match;
}

int show_table(const Format& f, bool json) {
  if (f.bits > 16) {
    throw Error(ErrorKind::usage, "--table", std::string(f.name) + " has too many codes to list",
                "choose a format of at most 16 bits");
  }
  files::Json body{{"format", f.name}, {"codes", files::Json::array()}};
  for (std::uint32_t code = 0; code <= f.mask(); ++code) {
    json ? body["codes"].push_back(describe(f, code)) : print_code("", f, code);
  }
  if (json) print_json("codec", 1, body);
  return match;
}

/// --function: of a file, or of values.
int run_function(const cxxopts::ParseResult& given, bool json) {
  const numerics::Mufu function = numerics::mufu_function(required(given, "function"));
  const auto cut = parse_choice(given["cut"].as<std::string>(), "--cut", kCuts);
  if (given.count("in") > 0 || given.count("out") > 0) {
    apply_to_file(function, cut, required(given, "in"), required(given, "out"));
    return match;
  }
  if (given.count("values") == 0)
    throw Error(ErrorKind::usage, "karat codec --function", "no argument to show",
                "give values, or --in and --out");
  const Format& f32 = numerics::format("f32");
  const numerics::Policy policy{.overflow = numerics::Overflow::infinity};
  std::vector<FunctionValue> values;
  for (const std::string& text : given["values"].as<std::vector<std::string>>())
    values.push_back({text, std::bit_cast<float>(parse_code(text, f32, policy))});
  show_function(function, cut, values,
                given.count("explain") > 0 ? Explanation::steps : Explanation::none, json);
  return match;
}

}  // namespace

int run_codec(int argc, char** argv) {
  CommandLine line(
      "codec",
      "Show a value in any number format, convert raw files, or compute special functions.",
      {"values"});
  line.add(
      {{"values", "decimals, or code:HEX", Takes::texts},
       {"format", "format of the values or the table"},
       {"table", "print every code of --format", Takes::nothing},
       {"from", "format of --in"},
       {"to", "format of --out"},
       {"in", "raw little-endian file"},
       {"out", "raw little-endian file"},
       {"policy", "named conversion policy", Takes::text, "nvidia_satfinite"},
       {"rounding",
        "instead of the policy's: nearest_even, toward_zero, up, down, nearest_away, stochastic"},
       {"seed", "seed of stochastic rounding", Takes::text, "0"},
       {"function",
        "ex2.approx.ftz.f32, or rcp, rsqrt, lg2 likewise: of the values, or of a raw f32 file"},
       {"explain", "with --function: the table's row and the sum", Takes::nothing},
       {"cut",
        "with --function ex2...: what becomes of a negative argument's bits below 2^-23: "
        "toward_zero or toward_minus_infinity (open)",
        Takes::text, "toward_zero"}});
  line.note(
      "Elements of a raw file take 1, 2 or 4 bytes; formats below a byte one byte each, TF32 a "
      "whole\n"
      "f32 word. karat codec --format e4m3 0.3 448 code:7f");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  numerics::Policy policy = numerics::policy((*given)["policy"].as<std::string>());
  if (const auto rounding = text_of(*given, "rounding")) {
    policy.rounding = parse_choice(*rounding, "--rounding", kRoundings);
  }
  const bool json = given->count("json") > 0;
  if (given->count("function") > 0) return run_function(*given, json);
  if (given->count("from") > 0 || given->count("to") > 0) {
    convert_file(numerics::format(required(*given, "from")),
                 numerics::format(required(*given, "to")), policy, {.seed = seed_of(*given)},
                 required(*given, "in"), required(*given, "out"));
    return match;
  }
  const Format& f = numerics::format(required(*given, "format"));
  if (given->count("table") > 0) return show_table(f, json);
  if (given->count("values") == 0) {
    throw Error(ErrorKind::usage, "karat codec", "no value to show",
                "give values, --table, or --from, --to, --in and --out");
  }
  return show_values(f, (*given)["values"].as<std::vector<std::string>>(), policy, json);
}

}  // namespace karat::cli
