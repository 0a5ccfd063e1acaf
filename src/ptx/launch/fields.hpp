// Private: an object of a JSON file read strictly: every field is asked for or refused.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "karat/files/json_file.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::ptx {

class Fields {
 public:
  /// @param path  of the object, "launch.json: tensors.q"
  Fields(const files::Json& json, std::string path) : json_(json), path_(std::move(path)) {
    if (!json_.is_object()) fail("an object is expected");
  }

  const std::string& path() const { return path_; }
  bool has(const std::string& name) {
    known_.insert(name);
    return json_.contains(name);
  }
  const files::Json& at(const std::string& name) {
    if (!has(name)) fail("\"" + name + "\" is missing");
    return json_.at(name);
  }
  std::string text(const std::string& name) {
    const files::Json& value = at(name);
    if (!value.is_string()) fail(name + ": a text is expected");
    return value.get<std::string>();
  }
  std::string text(const std::string& name, const std::string& otherwise) {
    return has(name) ? text(name) : otherwise;
  }
  bool flag(const std::string& name) {
    if (!has(name)) return false;
    if (!at(name).is_boolean()) fail(name + ": true or false is expected");
    return at(name).get<bool>();
  }
  std::uint64_t whole(const std::string& name, std::uint64_t most) {
    return whole_of(at(name), name, most);
  }
  std::uint64_t whole(const std::string& name, std::uint64_t otherwise, std::uint64_t most) {
    return has(name) ? whole(name, most) : otherwise;
  }
  template <typename T>
  std::vector<T> wholes(const std::string& name, std::uint64_t most) {
    std::vector<T> list;
    if (!has(name)) return list;
    if (!at(name).is_array()) fail(name + ": a list of whole numbers is expected");
    for (const files::Json& each : at(name))
      list.push_back(static_cast<T>(whole_of(each, name, most)));
    return list;
  }
  /// Refuses what was not asked for.
  void finish() const {
    for (const auto& [name, value] : json_.items()) {
      if (known_.contains(name)) continue;
      fail(
          "\"" + name + "\" is no field",
          known_.empty()
              ? ""
              : "did you mean " + numerics::nearest_name(name, known_, [](const std::string& each) {
                  return each;
                }) + "?");
    }
  }
  [[noreturn]] void fail(const std::string& problem, const std::string& action = {}) const {
    throw Error(ErrorKind::input_output, path_, problem, action);
  }

 private:
  std::uint64_t whole_of(const files::Json& value, const std::string& name,
                         std::uint64_t most) const {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most)
      fail(name + ": a whole number up to " + std::to_string(most) + " is expected");
    return value.get<std::uint64_t>();
  }

  const files::Json& json_;
  std::string path_;
  std::set<std::string> known_;
};

}  // namespace karat::ptx
