// See npy_header.hpp.
#include "npy_header.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "little_endian.hpp"

namespace karat::files {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kMaxHeader = std::size_t{1} << 20;
constexpr const char* kSaveWithNumpy = "save it again with numpy.save";

/// Reads the literal from left to right; every failure is one Error.
class Cursor {
 public:
  Cursor(std::string_view text, const ByteSource& source) : rest_(text), source_(source) {}

  bool take(std::string_view token) {
    skip_blanks();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) fail();
  }
  std::string_view quoted() {
    skip_blanks();
    const char quote = rest_.empty() ? '\0' : rest_[0];
    if (quote != '\'' && quote != '"') fail();
    const auto end = rest_.find(quote, 1);
    if (end == rest_.npos) fail();
    const std::string_view text = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return text;
  }
  std::size_t number() {
    skip_blanks();
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc{}) fail();
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return value;
  }
  bool at_end() {
    skip_blanks();
    return rest_.empty();
  }
  [[noreturn]] void fail() const {
    throw source_.error("has a header that is not NumPy's", kSaveWithNumpy);
  }

 private:
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size()));
  }

  std::string_view rest_;
  const ByteSource& source_;
};

std::string parse_descr(Cursor& cursor, const ByteSource& source) {
  if (cursor.take("[")) throw source.error("holds records", "save each field as its own array");
  return std::string(cursor.quoted());
}

ArrayOrder parse_order(Cursor& cursor) {
  if (cursor.take("True")) return ArrayOrder::fortran;
  cursor.expect("False");
  return ArrayOrder::c;
}

Shape parse_shape(Cursor& cursor) {
  Shape shape;
  cursor.expect("(");
  while (!cursor.take(")")) {
    shape.push_back(cursor.number());
    cursor.take("L");  // Python 2 wrote its long integers so
    if (shape.size() > kMaxRank) cursor.fail();
    if (!cursor.take(",")) {
      if (shape.size() < 2) cursor.fail();  // (3) is a number, (3,) a tuple
      cursor.expect(")");
      break;
    }
  }
  return shape;
}

/// All three keys, each once, in any order, then nothing but padding.
NpyHeader parse_literal(std::string_view text, const ByteSource& source) {
  Cursor cursor(text, source);
  std::optional<std::string> descr;
  std::optional<ArrayOrder> order;
  std::optional<Shape> shape;
  cursor.expect("{");
  while (!cursor.take("}")) {
    const std::string_view key = cursor.quoted();
    cursor.expect(":");
    if (key == "descr" && !descr) {
      descr = parse_descr(cursor, source);
    } else if (key == "fortran_order" && !order) {
      order = parse_order(cursor);
    } else if (key == "shape" && !shape) {
      shape = parse_shape(cursor);
    } else {
      cursor.fail();
    }
    if (!cursor.take(",")) {
      cursor.expect("}");
      break;
    }
  }
  if (!descr || !order || !shape || !cursor.at_end()) cursor.fail();
  return {.descr = *descr, .order = *order, .shape = *shape, .data_offset = 0};
}

}  // namespace

NpyHeader read_npy_header(const ByteSource& source) {
  std::array<std::byte, 8> start{};
  if (source.size() < start.size() || source.read_text(0, kMagic.size()) != kMagic) {
    throw source.error("does not begin like a .npy file", kSaveWithNumpy);
  }
  source.read(0, start);
  const auto version = static_cast<unsigned>(start[6]);
  if (version < 1 || version > 3 || start[7] != std::byte{0}) {
    throw source.error("has .npy version " + std::to_string(version) + "." +
                           std::to_string(static_cast<unsigned>(start[7])) +
                           ", known are 1.0, 2.0 and 3.0",
                       kSaveWithNumpy);
  }
  std::array<std::byte, 4> length{};
  const std::size_t length_bytes = version == 1 ? 2 : 4;
  source.read(start.size(), std::span(length).first(length_bytes));
  const std::size_t header_size = from_little_endian<std::uint32_t>(length);
  const std::uint64_t header_offset = start.size() + length_bytes;
  if (header_size > kMaxHeader || header_size > source.size() - header_offset) {
    throw source.error("says its header has " + std::to_string(header_size) + " bytes",
                       "copy or save it again");
  }
  const std::string text = source.read_text(header_offset, header_size);
  NpyHeader header = parse_literal(text, source);
  header.data_offset = header_offset + header_size;
  return header;
}

std::string format_npy_header(std::string_view descr, const Shape& shape) {
  std::string tuple;
  for (const std::size_t n : shape) tuple += (tuple.empty() ? "" : ", ") + std::to_string(n);
  if (shape.size() == 1) tuple += ",";
  std::string literal =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (" + tuple + "), }";
  constexpr std::size_t kFixed = 10;  // magic, version, length
  const std::size_t total = (kFixed + literal.size() + 1 + 63) / 64 * 64;
  literal.resize(total - kFixed - 1, ' ');
  literal += '\n';
  const auto length = to_little_endian(static_cast<std::uint16_t>(literal.size()));
  std::string text(kMagic);
  text += {'\1', '\0', static_cast<char>(length[0]), static_cast<char>(length[1])};
  return text + literal;
}

}  // namespace karat::files
