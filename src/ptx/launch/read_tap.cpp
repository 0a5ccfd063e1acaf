// {"stage": "tap.0.{y}.{x}.s", "line": 300, "registers": ["%f1..%f64"], "layout": "accumulator"}
#include "launch/read_tap.hpp"

#include <algorithm>
#include <charconv>

#include "karat/numerics/base/choice.hpp"
#include "launch/fields.hpp"

namespace karat::ptx {
namespace {

using numerics::Named;

constexpr std::uint64_t kMost32 = 0xFFFF'FFFF;
constexpr std::size_t kMostRegisters = 512;
constexpr std::uint64_t kMostMemory = 228 * 1024;

constexpr Named<TapLayout> kLayouts[] = {{"accumulator", TapLayout::accumulator},
                                         {"operand", TapLayout::operand},
                                         {"rows", TapLayout::rows},
                                         {"lanes", TapLayout::lanes}};
constexpr Named<TapVisits> kVisits[] = {
    {"columns", TapVisits::columns}, {"stacked", TapVisits::stacked}, {"last", TapVisits::last}};

/// "%f12": "%f" and 12. False where no number ends it.
bool split(const std::string& name, std::string& stem, std::uint64_t& number) {
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  stem = name.substr(0, digits);
  const auto end = name.data() + name.size();
  return digits < name.size() &&
         std::from_chars(name.data() + digits, end, number).ec == std::errc{};
}

/// "%f1", or "%f1..%f64" for all of them.
void add_registers(const std::string& text, const Fields& in, std::vector<std::string>& list) {
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) {
    list.push_back(text);
    return;
  }
  std::string stem, last_stem;
  std::uint64_t first = 0, last = 0;
  if (!split(text.substr(0, dots), stem, first) || !split(text.substr(dots + 2), last_stem, last) ||
      stem != last_stem || last < first || last - first >= kMostRegisters)
    in.fail("registers: \"" + text + "\" is no range such as %f1..%f64");
  for (; first <= last; ++first) list.push_back(stem + std::to_string(first));
}

void read_registers(Fields& in, Tap& tap) {
  if (!in.at("registers").is_array()) in.fail("registers: a list of names is expected");
  for (const files::Json& each : in.at("registers")) {
    if (!each.is_string()) in.fail("registers: a list of names is expected");
    add_registers(each.get<std::string>(), in, tap.registers);
  }
  if (tap.registers.empty() || tap.registers.size() > kMostRegisters)
    in.fail("registers: 1 to " + std::to_string(kMostRegisters) + " names are expected");
  tap.layout = numerics::parse_choice(in.text("layout"), in.path() + ": layout", kLayouts);
}

void read_memory(Fields& in, Tap& tap) {
  tap.memory.address = static_cast<std::uint32_t>(in.whole("shared", kMostMemory));
  const auto shape = in.wholes<std::uint64_t>("shape", kMostMemory);
  if (shape.size() != 2) in.fail("shape: rows and columns are expected");
  tap.memory.rows = shape[0];
  tap.memory.columns = shape[1];
  const std::uint64_t row = shape[1] * files::info(tap.dtype).size;
  if (shape[0] == 0 || row == 0 || shape[0] > kMostMemory / row)
    in.fail("shape: more than shared memory");
  tap.memory.swizzle = in.text("swizzle", "none");
  static constexpr std::string_view kSwizzles[] = {"none", "32B", "64B", "128B"};
  if (std::ranges::find(kSwizzles, tap.memory.swizzle) == std::end(kSwizzles))
    in.fail("swizzle: none, 32B, 64B or 128B is expected");
  if (tap.memory.swizzle != "none" && std::to_string(row) + "B" != tap.memory.swizzle)
    in.fail("swizzle: rows have " + std::to_string(row) + " bytes");
}

void read_ctas(Fields& in, Tap& tap) {
  if (!in.has("ctas")) return;
  if (!in.at("ctas").is_array()) in.fail("ctas: a list of positions is expected");
  for (const files::Json& each : in.at("ctas")) {
    const bool list = each.is_array() && !each.empty() && each.size() <= 3;
    if (!list || !std::ranges::all_of(each, [](const files::Json& n) {
          return n.is_number_unsigned() && n.get<std::uint64_t>() <= kMost32;
        }))
      in.fail("ctas: positions of one to three whole numbers are expected");
    tap.ctas.push_back(each.get<std::vector<std::uint32_t>>());
  }
}

}  // namespace

Tap read_tap(const files::Json& json, const std::string& path) {
  Fields in(json, path);
  Tap tap{.stage = in.text("stage"), .line = static_cast<std::uint32_t>(in.whole("line", kMost32))};
  if (tap.stage.empty()) in.fail("stage: a name is expected");
  const std::string type = in.text("dtype", "f32");
  const auto dtype = files::dtype_named(type);
  if (!dtype || files::info(*dtype).size > 4)
    in.fail("dtype: \"" + type + "\" is none of 8 to 32 bits");
  tap.dtype = *dtype;
  if (in.has("shared"))
    read_memory(in, tap);
  else
    read_registers(in, tap);
  tap.visits = numerics::parse_choice(in.text("visits", "columns"), path + ": visits", kVisits);
  tap.first_warp = static_cast<std::uint32_t>(in.whole("first_warp", 0, 31));
  tap.warps = static_cast<std::uint32_t>(in.whole("warps", 0, 32));
  read_ctas(in, tap);
  in.finish();
  return tap;
}

}  // namespace karat::ptx
