#include "karat/numerics/functions/mufu/tables.hpp"

#include <charconv>
#include <string>

#include "karat/numerics/base/embedded.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::numerics {

std::span<const EmbeddedFile> mufu_files();

namespace {

constexpr MufuWidths kEx2{17, 0, 13, 0, 0x77E2, 15};
constexpr MufuWidths kRcp{16, 1, 13, 0, 0x47E7, 15};
constexpr MufuWidths kRsqrt{17, 0, 14, 2, 0x7FFF, 16};
constexpr MufuWidths kLg2{17, 0, 12, 1, 0x3345, 2};

std::string_view text_of(std::string_view name) {
  for (const EmbeddedFile& file : mufu_files()) {
    if (file.name == name) return file.text;
  }
  throw Error(ErrorKind::internal, "mufu", "table " + std::string(name) + " is not embedded");
}

/// Lines "index,c0,c1,c2" behind one line of heads.
MufuTable read_table(std::string_view name, const MufuWidths& widths, std::size_t row_count) {
  MufuTable table{widths, {}};
  std::string_view text = text_of(name);
  std::size_t rows = 0;
  text.remove_prefix(text.find('\n') + 1);
  for (; !text.empty() && rows < row_count; ++rows) {
    std::int32_t values[4];
    for (std::int32_t& value : values) {
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
      if (error != std::errc()) break;
      text.remove_prefix(static_cast<std::size_t>(end - text.data()));
      if (!text.empty()) text.remove_prefix(1);
    }
    if (values[0] != static_cast<std::int32_t>(rows)) break;
    table.rows[rows] = {values[1], values[2], values[3]};
  }
  if (rows != row_count) {
    throw Error(ErrorKind::internal, "mufu", "table " + std::string(name) + " is cut short");
  }
  return table;
}

}  // namespace

const MufuTable& mufu_table(Mufu function) {
  static const MufuTable ex2 = read_table("ex2", kEx2, 64), rcp = read_table("rcp", kRcp, 128),
                         rsqrt = read_table("rsqrt", kRsqrt, 128),
                         lg2 = read_table("lg2", kLg2, 64);
  switch (function) {
    case Mufu::ex2:
      return ex2;
    case Mufu::rcp:
      return rcp;
    case Mufu::rsqrt:
      return rsqrt;
    case Mufu::lg2:
      break;
  }
  return lg2;
}

}  // namespace karat::numerics
