// How a row of the field table is made: one function a kind, for a member of the recipe
// (&Recipe::output) or of what lies inside it (&Recipe::softmax, &Softmax::exp2).
#pragma once

#include <limits>
#include <type_traits>
#include <utility>

#include "check.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::recipe {

inline constexpr double kMaxFloat = std::numeric_limits<float>::max();
inline constexpr double kMinFloat = std::numeric_limits<float>::min();
inline constexpr double kMaxCount = 1 << 20;
/// Of given multipliers: they and their reciprocals are normal numbers.
inline constexpr double kSmallestMultiplier = 0x1p-100;
inline constexpr double kLargestMultiplier = 0x1p100;

struct Words {
  std::string path;
  Decides decides;
  std::string_view meaning;
  std::string_view source;
};

template <auto kMember, auto... kInner>
auto& at(auto& whole) {
  if constexpr (sizeof...(kInner) == 0)
    return whole.*kMember;
  else
    return at<kInner...>(whole.*kMember);
}

inline Field row(Words words, Kind kind) {
  return {.path = std::move(words.path),
          .meaning = words.meaning,
          .source = words.source,
          .kind = kind,
          .decides = words.decides,
          .choices = {},
          .low = 0,
          .high = 0,
          .read = nullptr,
          .write = nullptr};
}

template <const auto& kChoices, auto... kMembers>
Field choice_row(Words words) {
  Field field = row(std::move(words), Kind::choice);
  field.choices = kChoices;
  field.read = [](const Recipe& recipe) -> Value {
    const int value = static_cast<int>(at<kMembers...>(recipe));
    for (const Choice& choice : kChoices) {
      if (choice.value == value) return std::string(choice.name);
    }
    return std::to_string(value);  // an enumerator this field does not take: problems() says so
  };
  field.write = [](Recipe& recipe, const Value& value) {
    auto& target = at<kMembers...>(recipe);
    for (const Choice& choice : kChoices) {
      if (choice.name == std::get<std::string>(value)) {
        target = static_cast<std::remove_cvref_t<decltype(target)>>(choice.value);
      }
    }
  };
  return field;
}

template <auto... kMembers>
Field integer_row(Words words, double low, double high) {
  Field field = row(std::move(words), Kind::integer);
  field.low = low;
  field.high = high;
  field.read = [](const Recipe& recipe) -> Value { return double(at<kMembers...>(recipe)); };
  field.write = [](Recipe& recipe, const Value& value) {
    at<kMembers...>(recipe) = static_cast<int>(std::get<double>(value));
  };
  return field;
}

template <auto... kMembers>
Field number_row(Words words, double low, double high) {
  Field field = row(std::move(words), Kind::number);
  field.low = low;
  field.high = high;
  field.read = [](const Recipe& recipe) -> Value { return double(at<kMembers...>(recipe)); };
  field.write = [](Recipe& recipe, const Value& value) {
    at<kMembers...>(recipe) = static_cast<float>(std::get<double>(value));
  };
  return field;
}

/// A number whose empty state is -infinity.
template <auto... kMembers>
Field number_or_minus_infinity_row(Words words) {
  Field field = row(std::move(words), Kind::number);
  field.low = -kInf;
  field.high = kMaxFloat;
  field.read = [](const Recipe& recipe) -> Value {
    const std::optional<float>& value = at<kMembers...>(recipe);
    return value ? double(*value) : -kInf;
  };
  field.write = [](Recipe& recipe, const Value& value) {
    const double number = std::get<double>(value);
    at<kMembers...>(recipe) =
        number == -kInf ? std::nullopt : std::optional(static_cast<float>(number));
  };
  return field;
}

template <auto... kMembers>
Field extent_row(Words words) {
  Field field = row(std::move(words), Kind::extent);
  field.low = 1;
  field.high = kMaxCount;
  field.read = [](const Recipe& recipe) -> Value { return at<kMembers...>(recipe); };
  field.write = [](Recipe& recipe, const Value& value) {
    at<kMembers...>(recipe) = std::get<video::Extent3>(value);
  };
  return field;
}

template <auto... kMembers>
Field text_row(Words words, Kind kind) {
  Field field = row(std::move(words), kind);
  field.read = [](const Recipe& recipe) -> Value { return at<kMembers...>(recipe); };
  field.write = [](Recipe& recipe, const Value& value) {
    at<kMembers...>(recipe) = std::get<std::string>(value);
  };
  return field;
}

}  // namespace karat::recipe
