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
  Json operator()(const std::string& value) const { return {"text", value}; }
  Json operator()(std::int64_t value) const { return {"integer", value}; }
  Json operator()(double value) const { return {"real", to_bits({value})}; }
  Json operator()(const std::vector<std::int64_t>& value) const { return {"integers", value}; }
  Json operator()(const std::vector<double>& value) const { return {"reals", to_bits(value)}; }
};

Attribute attribute_from_json(const Json& json) {
  const auto& kind = json.at(0).get_ref<const std::string&>();
  const Json& value = json.at(1);
  if (kind == "text") return value.get<std::string>();
  if (kind == "integer") return value.get<std::int64_t>();
  if (kind == "real") return from_bits(value).at(0);
  if (kind == "integers") return value.get<std::vector<std::int64_t>>();
  return from_bits(value);
}

}  // namespace

Json attributes_to_json(const Attributes& attributes) {
  Json json = Json::object();
  for (const auto& [name, value] : attributes) json[name] = std::visit(ToJson{}, value);
  return json;
}

Attributes attributes_from_json(const Json& json) {
  Attributes attributes;
  for (const auto& [name, value] : json.items()) attributes[name] = attribute_from_json(value);
  return attributes;
}

}  // namespace karat::files
