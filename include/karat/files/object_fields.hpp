// A JSON object's fields by the rows of requests (request.hpp). What no row names is refused.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/files/request.hpp"

namespace karat::files {

/// One JSON value as a field's. @throws Error(usage) about `subject` unless it is of the kind and
/// in the range
FieldValue field_value(const Json& given, const std::string& subject, FieldKind kind,
                       std::int64_t low, std::int64_t high);

/// Reads an object's fields by the rows of requests; finish() refuses the rest, naming the nearest.
class ObjectFields {
 public:
  /// @throws Error(usage) for anything but an object
  ObjectFields(Json object, std::string subject);

  /// Whether the field is there and not null.
  bool has(std::string_view name);
  /// A field that is there. @pre has(name)
  const Json& at(std::string_view name) const { return object_.at(std::string(name)); }
  /// Writes the request's fields that were given; the rest keeps its defaults.
  template <typename Request>
  void read(std::span<const RequestField<Request>> rows, Request& request) {
    for (const auto& row : rows)
      if (has(row.name))
        row.write(request, field_value(at(row.name), named(row.name), row.kind, row.low, row.high),
                  named(row.name));
  }
  /// @throws Error(usage) where one of the request's fields was given
  template <typename Request>
  void refuse(std::span<const RequestField<Request>> rows, const std::string& why) {
    for (const auto& row : rows)
      if (has(row.name)) throw Error(ErrorKind::usage, named(row.name), why, "leave it out");
  }
  void finish() const;
  /// "subject.name"
  std::string named(std::string_view name) const { return subject_ + "." + std::string(name); }

 private:
  Json object_;
  std::string subject_;
  std::vector<std::string> known_;
};

}  // namespace karat::files
