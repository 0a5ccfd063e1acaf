// Values of a JSON file by their place in it, read strictly.
#pragma once

#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::study {

/// A value that knows where it stands. Every reader throws Error(input_output) naming the place.
class Node {
 public:
  Node(const files::Json& value, const std::string& subject, std::string place)
      : value_(&value), subject_(&subject), place_(std::move(place)) {}

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorKind::input_output, *subject_, (place_.empty() ? "" : place_ + " ") + problem,
                "docs/loop.md says what stands in it");
  }

  bool null() const { return value_->is_null(); }

  /// An object of these fields and no others.
  const Node& object(std::initializer_list<std::string_view> fields) const {
    if (!value_->is_object()) fail("is no object");
    for (const std::string_view field : fields)
      if (!value_->contains(std::string(field))) fail("lacks " + std::string(field));
    for (const auto& [name, unused] : value_->items()) {
      bool known = false;
      for (const std::string_view field : fields) known = known || field == name;
      if (!known) fail("has " + name.substr(0, 40) + ", which is not known");
    }
    return *this;
  }
  Node operator[](const char* field) const {
    return {value_->at(field), *subject_, place_.empty() ? field : place_ + "." + field};
  }

  std::vector<Node> list() const {
    if (!value_->is_array()) fail("is no list");
    std::vector<Node> out;
    for (std::size_t i = 0; i < value_->size(); ++i)
      out.emplace_back((*value_)[i], *subject_, place_ + "[" + std::to_string(i) + "]");
    return out;
  }
  std::vector<Node> list(std::size_t count) const {
    std::vector<Node> out = list();
    if (out.size() != count)
      fail("has " + std::to_string(out.size()) + " values instead of " + std::to_string(count));
    return out;
  }

  std::string text() const {
    if (!value_->is_string()) fail("is no text");
    return value_->get<std::string>();
  }
  /// A whole number in [from, end).
  int whole(std::int64_t from = 0,
            std::int64_t end = std::numeric_limits<std::int32_t>::max()) const {
    if (!value_->is_number_integer()) fail("is no whole number");
    const bool large = value_->is_number_unsigned() &&
                       value_->get<std::uint64_t>() >= static_cast<std::uint64_t>(end);
    const std::int64_t value = large ? end : value_->get<std::int64_t>();
    if (value < from || value >= end)
      fail("is not from " + std::to_string(from) + " to " + std::to_string(end - 1));
    return static_cast<int>(value);
  }
  /// A finite number from 0.
  double number() const {
    if (!value_->is_number()) fail("is no number");
    const double value = value_->get<double>();
    if (!std::isfinite(value) || value < 0) fail("is negative or not finite");
    return value;
  }
  std::vector<double> numbers(std::size_t count) const {
    std::vector<double> out;
    for (const Node& one : list(count)) out.push_back(one.number());
    return out;
  }
  const files::Json& json() const { return *value_; }

 private:
  const files::Json* value_;
  const std::string* subject_;
  std::string place_;
};

}  // namespace karat::study
