// The sensitivity table as JSON and inside HDF5, and reading whichever a user gives.
#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "karat/files/load.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/study/sensitivity.hpp"
#include "table_order.hpp"

namespace karat::study {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const std::string kGroup = "sensitivity";

files::Json number(double value) {
  return std::isnan(value) ? files::Json(nullptr) : files::Json(value);
}
double number(const files::Json& json) { return json.is_null() ? kNaN : json.get<double>(); }

}  // namespace

files::Json sensitivity_json(const SensitivityTable& table) {
  files::Json json{{"schema", "karat.sensitivity"},
                   {"version", 1},
                   {"origin", table.origin},
                   {"steps", table.steps},
                   {"sigma", files::Json::array()},
                   {"recipes", table.recipes},
                   {"columns",
                    {"prompt", "step", "layer", "head", "branch", "recipe", "error",
                     "sampling_error", "guided_error"}},
                   {"rows", files::Json::array()}};
  for (const double sigma : table.sigma) json["sigma"].push_back(number(sigma));
  for (const Sensitivity& row : table.rows) {
    const capture::Cell& c = row.cell;
    json["rows"].push_back({c.prompt, c.step, c.layer, c.head, to_string(c.branch), row.recipe,
                            number(row.error), number(row.sampling_error),
                            number(row.guided_error)});
  }
  return json;
}

SensitivityTable parse_sensitivity_json(const files::Json& json, const std::string& subject) {
  try {
    if (json.at("schema") != "karat.sensitivity" || json.at("version") != 1)
      throw Error(ErrorKind::input_output, subject, "is no karat.sensitivity of version 1",
                  "give what karat study wrote");
    SensitivityTable table{
        .origin = json.at("origin"), .steps = json.at("steps"), .recipes = json.at("recipes")};
    for (const auto& sigma : json.at("sigma")) table.sigma.push_back(number(sigma));
    for (const auto& row : json.at("rows"))
      table.rows.push_back({.cell = {.prompt = row.at(0),
                                     .step = row.at(1),
                                     .layer = row.at(2),
                                     .head = row.at(3),
                                     .branch = video::parse_branch(row.at(4).get<std::string>())},
                            .recipe = row.at(5),
                            .error = number(row.at(6)),
                            .sampling_error = number(row.at(7)),
                            .guided_error = number(row.at(8))});
    sort_rows(table);
    validate(table, subject);
    return table;
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::input_output, subject, "is no sensitivity table",
                "see docs/study.md for its fields");
  }
}

void write_sensitivity(files::Hdf5Writer& file, const SensitivityTable& table) {
  const std::size_t count = table.rows.size();
  const auto column = [&](const std::string& name, files::DType dtype, auto value_of) {
    using T = decltype(value_of(table.rows.front()));
    std::vector<T> values;
    for (const Sensitivity& row : table.rows) values.push_back(value_of(row));
    file.write(kGroup + "/" + name, files::make_tensor(dtype, {count}, values));
  };
  using files::DType;
  file.group(kGroup);
  column("prompt", DType::i32, [](const Sensitivity& r) { return r.cell.prompt; });
  column("step", DType::i32, [](const Sensitivity& r) { return r.cell.step; });
  column("layer", DType::i32, [](const Sensitivity& r) { return r.cell.layer; });
  column("head", DType::i32, [](const Sensitivity& r) { return r.cell.head; });
  column("branch", DType::u8,
         [](const Sensitivity& r) { return static_cast<std::uint8_t>(r.cell.branch); });
  column("recipe", DType::i32, [](const Sensitivity& r) { return r.recipe; });
  column("error", DType::f64, [](const Sensitivity& r) { return r.error; });
  column("sampling_error", DType::f64, [](const Sensitivity& r) { return r.sampling_error; });
  column("guided_error", DType::f64, [](const Sensitivity& r) { return r.guided_error; });
  file.write(kGroup + "/sigma", files::make_tensor(DType::f64, {table.sigma.size()}, table.sigma));
  file.set_attributes(kGroup, {{"origin", table.origin},
                               {"steps", std::int64_t{table.steps}},
                               {"recipes", files::Json(table.recipes).dump()},
                               {"branches", "0 conditional, 1 unconditional"}});
}

SensitivityTable read_sensitivity(const files::Hdf5Reader& file, const std::string& subject) {
  if (!file.contains(kGroup + "/error"))
    throw Error(ErrorKind::input_output, subject, "holds no sensitivity table",
                "give what karat study wrote");
  const auto column = [&]<class T>(const std::string& name, T) {
    const files::Tensor tensor = file.read(kGroup + "/" + name);
    const auto values = tensor.as<T>();
    return std::vector<T>(values.begin(), values.end());
  };
  SensitivityTable table{.origin = file.text(kGroup, "origin"),
                         .steps = static_cast<int>(file.integer(kGroup, "steps")),
                         .sigma = column("sigma", double{})};
  const files::Json names = files::parse_json(file.text(kGroup, "recipes"), subject);
  for (const auto& name : names) table.recipes.push_back(name.get<std::string>());
  const auto prompt = column("prompt", std::int32_t{}), step = column("step", std::int32_t{}),
             layer = column("layer", std::int32_t{}), head = column("head", std::int32_t{}),
             recipe = column("recipe", std::int32_t{});
  const auto branch = column("branch", std::uint8_t{});
  const auto error = column("error", double{}), sampling = column("sampling_error", double{}),
             guided = column("guided_error", double{});
  const std::size_t count = error.size();
  for (const std::size_t size : {prompt.size(), step.size(), layer.size(), head.size(),
                                 recipe.size(), branch.size(), sampling.size(), guided.size()})
    if (size != count)
      throw Error(ErrorKind::input_output, subject, "has columns of different length",
                  "let karat study write it again");
  for (std::size_t i = 0; i < count; ++i)
    table.rows.push_back({.cell = {.prompt = prompt[i],
                                   .step = step[i],
                                   .layer = layer[i],
                                   .head = head[i],
                                   .branch = static_cast<video::Branch>(branch[i])},
                          .recipe = recipe[i],
                          .error = error[i],
                          .sampling_error = sampling[i],
                          .guided_error = guided[i]});
  sort_rows(table);
  validate(table, subject);
  return table;
}

SensitivityTable read_sensitivity(const std::filesystem::path& path) {
  const std::string text = files::read_text(path), subject = path.string();
  if (text.empty())
    throw Error(ErrorKind::input_output, subject, "is missing or empty",
                "give what karat study wrote");
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{')
    return parse_sensitivity_json(files::parse_json(text, subject), subject);
  if (text.starts_with("prompt,")) return parse_sensitivity_csv(text, subject);
  return read_sensitivity(files::Hdf5Reader(path), subject);
}

}  // namespace karat::study
