// JSON through nlohmann's SAX parser, which sees keys and depth before a value is built.
// See karat/files/json_file.hpp.
#include "karat/files/json_file.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "byte_source.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::files {
namespace {

constexpr std::uint64_t kMaxFile = std::uint64_t{64} << 20;

/// Walks the text and keeps `position`, the number of characters the lexer has taken, up to date.
struct CountingIterator {
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  const char* at = nullptr;
  std::size_t* position = nullptr;

  reference operator*() const { return *at; }
  CountingIterator& operator++() {
    ++at;
    ++*position;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const CountingIterator& a, const CountingIterator& b) {
    return a.at == b.at;
  }
};

/// Builds the value. The parser's own builder keeps the last of two equal keys silently, and asks
/// of every key whether it was there, one by one: as many questions as the square of the keys.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(std::string_view text, const std::string& subject, const std::size_t& position,
                ErrorKind syntax)
      : text_(text), subject_(subject), position_(position), syntax_(syntax) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }

  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return descend(Json::object());
  }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) fail(Json(name).dump() + " is given twice");
    // Not operator[], which looks through all keys before it adds one.
    open_.back()->get_ref<Json::object_t&>().emplace_back(std::move(name), nullptr);
    return true;
  }
  bool end_object() override {
    keys_.pop_back();
    return ascend();
  }
  bool start_array(std::size_t) override { return descend(Json::array()); }
  bool end_array() override { return ascend(); }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& e) override {
    // "[json.exception...] parse error at line 1, column 2: what is wrong": our prefix says where.
    const std::string_view message = e.what();
    const auto where = message.find("column ");
    const auto colon = where == message.npos ? message.find("] ") : message.find(": ", where);
    fail(std::string(colon == message.npos ? message : message.substr(colon + 2)));
  }

 private:
  /// Puts a value where the next one belongs. What is open stays where it is: only the innermost
  /// object or array grows.
  Json& place(Json value) {
    if (open_.empty()) return root_ = std::move(value);
    if (open_.back()->is_array()) return open_.back()->emplace_back(std::move(value));
    return open_.back()->get_ref<Json::object_t&>().back().second = std::move(value);
  }
  bool add(Json value) {
    place(std::move(value));
    return true;
  }
  bool descend(Json empty) {
    open_.push_back(&place(std::move(empty)));
    if (open_.size() > kMaxJsonDepth)
      fail("more than " + std::to_string(kMaxJsonDepth) + " levels inside each other");
    return true;
  }
  bool ascend() {
    open_.pop_back();
    return true;
  }

  [[noreturn]] void fail(const std::string& problem) const {
    const std::string_view before = text_.substr(0, position_ == 0 ? 0 : position_ - 1);
    const auto line = 1 + std::ranges::count(before, '\n');
    const auto column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 == 0
    throw Error(
        syntax_, subject_,
        "line " + std::to_string(line) + ", column " + std::to_string(column) + ": " + problem,
        "correct the JSON there");
  }

  std::string_view text_;
  const std::string& subject_;
  const std::size_t& position_;
  ErrorKind syntax_;
  Json root_;
  std::vector<Json*> open_;                  ///< objects and arrays, the innermost last
  std::vector<std::set<std::string>> keys_;  ///< of the open objects
};

bool is_plain(const Json& value) { return !value.is_structured() || value.empty(); }

/// All on one line: {"a": [1, 2], "b": "c"}.
std::string one_line(const Json& value) {
  if (!value.is_structured()) {
    if (value.is_number_float() && !std::isfinite(value.get<double>())) {
      throw Error(ErrorKind::internal, "JSON", "a number is NaN or infinite");
    }
    return value.dump();
  }
  std::string text;
  for (const auto& [key, item] : value.items()) {
    text += text.empty() ? "" : ", ";
    if (value.is_object()) text += Json(key).dump() + ": ";
    text += one_line(item);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

void append(std::string& out, const Json& value, std::size_t indent, std::size_t used) {
  constexpr std::size_t kColumns = 100;
  if (std::ranges::all_of(value, is_plain)) {
    const std::string line = one_line(value);
    if (!value.is_structured() || used + line.size() < kColumns) {
      out += line;
      return;
    }
  }
  const std::string margin(indent + 2, ' ');
  out += value.is_object() ? "{" : "[";
  const char* separator = "\n";
  for (const auto& [key, item] : value.items()) {
    const std::string label = value.is_object() ? Json(key).dump() + ": " : "";
    out += separator + margin + label;
    append(out, item, indent + 2, margin.size() + label.size());
    separator = ",\n";
  }
  out += '\n';
  out.append(indent, ' ');
  out += value.is_object() ? '}' : ']';
}

}  // namespace

Json parse_json(std::string_view text, const std::string& subject, ErrorKind syntax) {
  std::size_t position = 0;
  StrictBuilder builder(text, subject, position, syntax);
  const CountingIterator first{text.data(), &position};
  const CountingIterator last{text.data() + text.size(), &position};
  Json::sax_parse(first, last, &builder);
  return builder.take();
}

Json parse_json(std::span<const std::byte> text, const std::string& subject) {
  return parse_json(std::string_view(reinterpret_cast<const char*>(text.data()), text.size()),
                    subject);
}

Json read_json(const std::filesystem::path& path, ErrorKind syntax) {
  const ByteSource source(path);
  if (source.size() > kMaxFile) throw source.error("is larger than 64 MiB", "is it JSON?");
  return parse_json(source.read_text(0, static_cast<std::size_t>(source.size())), source.subject(),
                    syntax);
}

std::string format_json(const Json& value) {
  std::string text;
  try {
    append(text, value, 0, 0);
  } catch (const Json::type_error&) {
    throw Error(ErrorKind::internal, "JSON", "a string is not UTF-8");
  }
  return text + "\n";
}

void write_json(const std::filesystem::path& path, const Json& value) {
  write_file(path, format_json(value));
}

}  // namespace karat::files
