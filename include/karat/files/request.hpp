// A request as a table: a row says what a field is called, what it means, what it may be, and where
// it goes. The command line and JSON objects are read by the same rows, so that a name, a default
// and a range stand once.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "karat/numerics/base/choice.hpp"

namespace karat::files {

enum class FieldKind {
  text,
  whole,   ///< a whole number in [low, high]
  number,  ///< a number in [low, high]
  extent,  ///< three whole numbers from 1
  flag,    ///< there or not
  texts,   ///< a list; separated by commas on the command line
};
using FieldValue = std::variant<std::string, std::int64_t, double, std::array<int, 3>, bool,
                                std::vector<std::string>>;

template <typename Request>
struct RequestField {
  std::string_view name;  ///< "head_dim"; the command line writes --head-dim
  std::string_view meaning;
  FieldKind kind;
  /// The value is of the kind and in the range. @throws Error(usage) about `subject` for a text
  /// that names nothing
  void (*write)(Request&, const FieldValue&, const std::string& subject);
  std::string_view otherwise = {};  ///< the default, as help shows it
  std::int64_t low = 0;
  std::int64_t high = std::numeric_limits<std::int32_t>::max();
  std::string_view option = {};  ///< the command line's name where it is another
};

/// Rows that store a value as it is, in a member or an optional one.
namespace request {

template <typename Owner, typename Member>
Owner owner_of(Member Owner::*);
template <auto kMember>
using Owner = decltype(owner_of(kMember));

/// The type of a member, without `optional`.
template <typename Member>
struct Held {
  using type = Member;
};
template <typename Value>
struct Held<std::optional<Value>> {
  using type = Value;
};
template <typename Request, auto kMember>
using Stored =
    typename Held<std::remove_cvref_t<decltype(std::declval<Request&>().*kMember)>>::type;

/// A value that goes into the member as it is.
template <auto kMember, typename Given, typename Request>
constexpr RequestField<Request> plain(FieldKind kind, std::string_view name,
                                      std::string_view meaning) {
  return {.name = name,
          .meaning = meaning,
          .kind = kind,
          .write = [](Request& request, const FieldValue& value, const std::string&) {
            request.*kMember = static_cast<Stored<Request, kMember>>(std::get<Given>(value));
          }};
}

template <auto kMember, typename Request = Owner<kMember>>
constexpr RequestField<Request> whole(
    std::string_view name, std::string_view meaning, std::int64_t low,
    std::int64_t high = std::numeric_limits<std::int32_t>::max()) {
  auto field = plain<kMember, std::int64_t, Request>(FieldKind::whole, name, meaning);
  field.low = low;
  field.high = high;
  return field;
}

template <auto kMember, typename Request = Owner<kMember>>
constexpr RequestField<Request> number(std::string_view name, std::string_view meaning,
                                       std::int64_t low, std::int64_t high,
                                       std::string_view otherwise = {}) {
  auto field = plain<kMember, double, Request>(FieldKind::number, name, meaning);
  field.otherwise = otherwise;
  field.low = low;
  field.high = high;
  return field;
}

template <auto kMember, typename Request = Owner<kMember>>
constexpr RequestField<Request> text(std::string_view name, std::string_view meaning) {
  return plain<kMember, std::string, Request>(FieldKind::text, name, meaning);
}

template <auto kMember, typename Request = Owner<kMember>>
constexpr RequestField<Request> flag(std::string_view name, std::string_view meaning) {
  return plain<kMember, bool, Request>(FieldKind::flag, name, meaning);
}

template <auto kMember, typename Request = Owner<kMember>>
constexpr RequestField<Request> texts(std::string_view name, std::string_view meaning) {
  return plain<kMember, std::vector<std::string>, Request>(FieldKind::texts, name, meaning);
}

template <auto kMember, typename Request = Owner<kMember>>
constexpr RequestField<Request> extent(std::string_view name, std::string_view meaning) {
  return {.name = name,
          .meaning = meaning,
          .kind = FieldKind::extent,
          .write = [](Request& request, const FieldValue& value, const std::string&) {
            const auto& [t, h, w] = std::get<std::array<int, 3>>(value);
            request.*kMember = Stored<Request, kMember>{t, h, w};
          }};
}

/// A name that `kParse(text)` or `kParse(text, subject)` reads.
template <auto kMember, auto kParse, typename Request = Owner<kMember>>
constexpr RequestField<Request> parsed(std::string_view name, std::string_view meaning) {
  return {.name = name,
          .meaning = meaning,
          .kind = FieldKind::text,
          .write = [](Request& request, const FieldValue& value, const std::string& subject) {
            const auto& text = std::get<std::string>(value);
            if constexpr (std::is_invocable_v<decltype(kParse), const std::string&>)
              request.*kMember = kParse(text);
            else
              request.*kMember = kParse(text, subject);
          }};
}

/// One name out of a table of numerics::Named.
template <auto kMember, const auto& kChoices, typename Request = Owner<kMember>>
constexpr RequestField<Request> choice(std::string_view name, std::string_view meaning,
                                       std::string_view otherwise = {}) {
  return {.name = name,
          .meaning = meaning,
          .kind = FieldKind::text,
          .write =
              [](Request& request, const FieldValue& value, const std::string& subject) {
                request.*kMember =
                    numerics::parse_choice(std::get<std::string>(value), subject, kChoices);
              },
          .otherwise = otherwise};
}

/// The field under another name on the command line.
template <typename Request>
constexpr RequestField<Request> called(std::string_view option, RequestField<Request> field) {
  field.option = option;
  return field;
}

}  // namespace request
}  // namespace karat::files
