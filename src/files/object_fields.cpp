// JSON values into values of fields, and names that no row has.
#include "karat/files/object_fields.hpp"

#include <algorithm>

#include "karat/numerics/base/suggest.hpp"

namespace karat::files {
namespace {

bool whole_between(const Json& x, std::int64_t low, std::int64_t high) {
  if (!x.is_number_integer()) return false;
  if (x.is_number_unsigned()) {
    const auto number = x.get<std::uint64_t>();
    return number <= static_cast<std::uint64_t>(high) && static_cast<std::int64_t>(number) >= low;
  }
  return x.get<std::int64_t>() >= low && x.get<std::int64_t>() <= high;
}

}  // namespace

FieldValue field_value(const Json& given, const std::string& subject, FieldKind kind,
                       std::int64_t low, std::int64_t high) {
  std::string wanted = "text";
  switch (kind) {
    case FieldKind::text:
      if (given.is_string()) return given.get<std::string>();
      break;
    case FieldKind::number:
      if (given.is_number() && given.get<double>() >= static_cast<double>(low) &&
          given.get<double>() <= static_cast<double>(high))
        return given.get<double>();
      wanted = "number from " + std::to_string(low) + " to " + std::to_string(high);
      break;
    case FieldKind::flag:
      if (given.is_boolean()) return given.get<bool>();
      wanted = "true or false";
      break;
    case FieldKind::whole:
      if (whole_between(given, low, high)) return given.get<std::int64_t>();
      wanted = "whole number from " + std::to_string(low) + " to " + std::to_string(high);
      break;
    case FieldKind::texts:
      if (given.is_array() &&
          std::all_of(given.begin(), given.end(), [](const auto& x) { return x.is_string(); }))
        return given.get<std::vector<std::string>>();
      wanted = "list of texts";
      break;
    case FieldKind::extent:
      if (given.is_array() && given.size() == 3 &&
          std::all_of(given.begin(), given.end(),
                      [](const auto& x) { return whole_between(x, 1, 1'000'000); }))
        return given.get<std::array<int, 3>>();
      wanted = "list of three whole numbers from 1";
      break;
  }
  throw Error(ErrorKind::usage, subject, given.dump() + " is no " + wanted, "give a " + wanted);
}

ObjectFields::ObjectFields(Json object, std::string subject)
    : object_(std::move(object)), subject_(std::move(subject)) {
  if (!object_.is_object())
    throw Error(ErrorKind::usage, subject_, "is no JSON object", "give {...}");
}

bool ObjectFields::has(std::string_view name) {
  known_.emplace_back(name);
  const auto found = object_.find(name);
  return found != object_.end() && !found->is_null();
}

void ObjectFields::finish() const {
  for (const auto& [name, value] : object_.items()) {
    if (std::ranges::find(known_, name) != known_.end()) continue;
    throw Error(ErrorKind::usage, named(name), "is not known",
                "did you mean " + numerics::nearest_name(name, known_, [](const std::string& k) {
                  return k;
                }) + "?");
  }
}

}  // namespace karat::files
