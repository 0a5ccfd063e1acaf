// Look-up by name and the number line of each format.
// The table itself is in format.hpp.
#include "karat/numerics/formats/format.hpp"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::numerics {
namespace {

std::int64_t lowest_ordinal(const Format& f) {
  if (f.kind == Kind::power_of_two) return 0;
  if (f.kind == Kind::integer) return -static_cast<std::int64_t>(f.max_finite()) - 1;
  return -static_cast<std::int64_t>(f.specials == Specials::infinity_and_nan ? f.infinity()
                                                                            : f.max_finite());
}

std::int64_t highest_ordinal(const Format& f) {
  return f.specials == Specials::infinity_and_nan ? f.infinity() : f.max_finite();
}

}  // namespace

std::span<const Format> formats() { return kFormats; }

const Format& format(std::string_view name) {
  for (const Format& f : kFormats) {
    if (f.name == name) return f;
  }
  throw Error(ErrorKind::usage, "format '" + std::string(name) + "'", "no such format",
              "did you mean '" +
                  nearest_name(name, kFormats, [](const Format& f) { return f.name; }) + "'?");
}

std::int64_t ordinal(std::uint32_t code, FormatId id) {
  const Format& f = format(id);
  const auto magnitude = static_cast<std::int64_t>(code & f.magnitude_mask());
  if (!(code & f.sign_mask())) return magnitude;
  return f.kind == Kind::integer ? magnitude - static_cast<std::int64_t>(f.sign_mask())
                                 : -magnitude;
}

std::uint32_t code_at(std::int64_t ordinal, FormatId id) {
  const Format& f = format(id);
  if (ordinal >= 0) return static_cast<std::uint32_t>(ordinal);
  if (f.kind == Kind::integer) return static_cast<std::uint32_t>(ordinal) & f.mask();
  return static_cast<std::uint32_t>(-ordinal) | f.sign_mask();
}

std::uint32_t next_up(std::uint32_t code, FormatId id) {
  const Format& f = format(id);
  if (f.is_nan(code)) return code;
  return code_at(std::min(ordinal(code, id) + 1, highest_ordinal(f)), id);
}

std::uint32_t next_down(std::uint32_t code, FormatId id) {
  const Format& f = format(id);
  if (f.is_nan(code)) return code;
  return code_at(std::max(ordinal(code, id) - 1, lowest_ordinal(f)), id);
}

std::int64_t ulp_distance(std::uint32_t a, std::uint32_t b, FormatId id) {
  const Format& f = format(id);
  if (f.is_nan(a) || f.is_nan(b)) {
    return f.is_nan(a) && f.is_nan(b) ? 0 : std::numeric_limits<std::int64_t>::max();
  }
  return std::abs(ordinal(a, id) - ordinal(b, id));
}

}  // namespace karat::numerics
