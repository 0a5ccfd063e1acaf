// Attributes as JSON on the channel. See hdf5_attributes.hpp.
#include <bit>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "hdf5/attributes.hpp"

namespace karat::files {
namespace {

Json to_bits(const std::vector<double>& values) {
  Json bits = Json::array();
  for (const double value : values) bits.push_back(std::bit_cast<std::uint64_t>(value));
  return bits;
}

std::vector<double> from_bits(const Json& bits) {
  std::vector<double> values;
  for (const Json& word : bits) values.push_back(std::bit_cast<double>(word.get<std::uint64_t>()));
  return values;
}

struct ToJson {
  const std::string& name;
  Json operator()(const std::string& value) const { return {name, "text", value}; }
  Json operator()(std::int64_t value) const { return {name, "integer", value}; }
  Json operator()(double value) const { return {name, "real", to_bits({value})}; }
  Json operator()(const std::vector<std::int64_t>& value) const {
    return {name, "integers", value};
  }
  Json operator()(const std::vector<double>& value) const {
    return {name, "reals", to_bits(value)};
  }
};

Attribute attribute_from_json(const Json& json) {
  const auto& kind = json.at(1).get_ref<const std::string&>();
  const Json& value = json.at(2);
  if (kind == "text") return value.get<std::string>();
  if (kind == "integer") return value.get<std::int64_t>();
  if (kind == "real") return from_bits(value).at(0);
  if (kind == "integers") return value.get<std::vector<std::int64_t>>();
  return from_bits(value);
}

}  // namespace

Json attributes_to_json(const Attributes& attributes) {
  Json json = Json::array();
  for (const auto& [name, value] : attributes) json.push_back(std::visit(ToJson{name}, value));
  return json;
}

Attributes attributes_from_json(const Json& json) {
  Attributes attributes;
  for (const Json& each : json)
    attributes.emplace(each.at(0).get<std::string>(), attribute_from_json(each));
  return attributes;
}

}  // namespace karat::files
