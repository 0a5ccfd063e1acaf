// A study's result as HDF5, and its figures as CSV.
#include <array>
#include <map>
#include <nlohmann/json.hpp>

#include "csv.hpp"
#include "karat/files/hdf5.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/study/run.hpp"

namespace karat::study {
namespace {

const std::string kSchema = "karat-study/1";

template <class T>
void put(files::Hdf5Writer& file, const std::string& name, files::DType dtype,
         const std::vector<T>& values) {
  file.write(name, files::make_tensor(dtype, {values.size()}, values));
}

template <class T>
std::vector<T> get(const files::Hdf5Reader& file, const std::string& name) {
  const files::Tensor tensor = file.read(name);
  const auto values = tensor.as<T>();
  return {values.begin(), values.end()};
}

/// Columns of the rows that were looked at key by key.
constexpr std::pair<const char*, double RowRecord::*> kRowColumns[] = {
    {"truth", &RowRecord::truth},         {"mask", &RowRecord::mask},
    {"both", &RowRecord::both},           {"given", &RowRecord::given},
    {"kept_mass", &RowRecord::kept_mass}, {"entropy", &RowRecord::entropy},
    {"max_logit", &RowRecord::max_logit}, {"edge", &RowRecord::edge}};

}  // namespace

void write_study(const std::filesystem::path& path, const StudyResult& result) {
  using files::DType;
  files::Hdf5Writer file(path, kSchema);
  std::map<Quantity, std::int32_t> numbers;
  std::vector<std::string> quantities;
  std::vector<std::int32_t> prompt, step, layer, head, job, recipe, quantity, row_job, row_recipe,
      token;
  std::vector<std::uint8_t> branch;
  std::vector<double> value, error;
  std::array<std::vector<double>, std::size(kRowColumns)> columns;
  for (std::size_t j = 0; j < result.jobs.size(); ++j) {
    const JobResult& one = result.jobs[j];
    prompt.push_back(one.job.prompt), step.push_back(one.job.step);
    layer.push_back(one.job.layer), head.push_back(one.job.head);
    for (const Figure& f : one.figures) {
      const auto [at, is_new] =
          numbers.try_emplace(f.quantity, static_cast<std::int32_t>(numbers.size()));
      if (is_new) quantities.push_back(to_string(f.quantity));
      job.push_back(static_cast<std::int32_t>(j));
      branch.push_back(static_cast<std::uint8_t>(f.branch));
      recipe.push_back(f.recipe), quantity.push_back(at->second);
      value.push_back(f.value), error.push_back(f.standard_error);
    }
    for (const RowRecord& r : one.rows) {
      row_job.push_back(static_cast<std::int32_t>(j));
      row_recipe.push_back(r.recipe), token.push_back(r.token);
      for (std::size_t c = 0; c < columns.size(); ++c)
        columns[c].push_back(r.*kRowColumns[c].second);
    }
  }
  put(file, "jobs/prompt", DType::i32, prompt), put(file, "jobs/step", DType::i32, step);
  put(file, "jobs/layer", DType::i32, layer), put(file, "jobs/head", DType::i32, head);
  put(file, "figures/job", DType::i32, job), put(file, "figures/branch", DType::u8, branch);
  put(file, "figures/recipe", DType::i32, recipe);
  put(file, "figures/quantity", DType::i32, quantity);
  put(file, "figures/value", DType::f64, value);
  put(file, "figures/standard_error", DType::f64, error);
  put(file, "rows/job", DType::i32, row_job), put(file, "rows/recipe", DType::i32, row_recipe);
  put(file, "rows/token", DType::i32, token);
  for (std::size_t c = 0; c < columns.size(); ++c)
    put(file, std::string("rows/") + kRowColumns[c].first, DType::f64, columns[c]);
  put(file, "sigma", DType::f64, result.sigma);
  file.set_attributes("jobs", {{"head_kinds", files::Json(result.head_kinds).dump()}});
  file.set_attributes("figures", {{"quantities", files::Json(quantities).dump()},
                                  {"branches", "0 conditional, 1 unconditional"}});
  file.set_attributes("", {{"study", result.identity.text},
                           {"study_sha256", result.identity.sha256},
                           {"origin", result.origin},
                           {"recipes", files::Json(result.recipes).dump()},
                           {"steps", std::int64_t{result.steps}},
                           {"guidance", std::vector<double>{result.guidance}}});
  write_sensitivity(file, sensitivity(result));
  file.commit();
}

StudyResult read_study(const std::filesystem::path& path) {
  const files::Hdf5Reader file(path);
  if (!file.contains("figures/value") || !file.contains("jobs/prompt"))
    throw Error(ErrorKind::input_output, path.string(), "holds no study",
                "give what karat study wrote");
  const std::string subject = path.string();
  StudyResult result{.identity = {file.text("", "study"), file.text("", "study_sha256")},
                     .origin = file.text("", "origin"),
                     .steps = static_cast<int>(file.integer("", "steps")),
                     .sigma = get<double>(file, "sigma"),
                     .guidance = 1,
                     .recipes = files::parse_json(file.text("", "recipes"), subject),
                     .jobs = {},
                     .head_kinds = files::parse_json(file.text("jobs", "head_kinds"), subject)};
  const auto& attributes = file.attributes("");
  if (const auto g = attributes.find("guidance"); g != attributes.end())
    if (const auto* list = std::get_if<std::vector<double>>(&g->second); list && !list->empty())
      result.guidance = list->front();
  std::vector<Quantity> quantities;
  for (const auto& name : files::parse_json(file.text("figures", "quantities"), subject))
    quantities.push_back(parse_quantity(name.get<std::string>(), subject));
  const auto prompt = get<std::int32_t>(file, "jobs/prompt"),
             step = get<std::int32_t>(file, "jobs/step"),
             layer = get<std::int32_t>(file, "jobs/layer"),
             head = get<std::int32_t>(file, "jobs/head");
  for (std::size_t j = 0; j < prompt.size(); ++j)
    result.jobs.push_back(
        {.job = {prompt.at(j), step.at(j), layer.at(j), head.at(j)}, .figures = {}, .rows = {}});
  const auto job = get<std::int32_t>(file, "figures/job"),
             recipe = get<std::int32_t>(file, "figures/recipe"),
             quantity = get<std::int32_t>(file, "figures/quantity");
  const auto branch = get<std::uint8_t>(file, "figures/branch");
  const auto value = get<double>(file, "figures/value"),
             error = get<double>(file, "figures/standard_error");
  for (std::size_t i = 0; i < value.size(); ++i)
    result.jobs.at(job.at(i)).figures.push_back({.branch = static_cast<video::Branch>(branch.at(i)),
                                                 .recipe = recipe.at(i),
                                                 .quantity = quantities.at(quantity.at(i)),
                                                 .value = value.at(i),
                                                 .standard_error = error.at(i)});
  const auto row_job = get<std::int32_t>(file, "rows/job"),
             row_recipe = get<std::int32_t>(file, "rows/recipe"),
             token = get<std::int32_t>(file, "rows/token");
  std::vector<RowRecord> rows(row_job.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].recipe = row_recipe.at(i);
    rows[i].token = token.at(i);
  }
  for (const auto& [name, member] : kRowColumns) {
    const auto column = get<double>(file, std::string("rows/") + name);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].*member = column.at(i);
  }
  for (std::size_t i = 0; i < rows.size(); ++i) result.jobs.at(row_job[i]).rows.push_back(rows[i]);
  return result;
}

std::string figures_csv(const StudyResult& result) {
  std::string text =
      "prompt,step,steps,sigma,layer,head,head_kind,branch,recipe,quantity,value,standard_error\n";
  for (std::size_t j = 0; j < result.jobs.size(); ++j) {
    const JobResult& one = result.jobs[j];
    const std::string place = std::to_string(one.job.prompt) + "," + std::to_string(one.job.step) +
                              "," + std::to_string(result.steps) + "," +
                              csv_decimal(result.sigma[one.job.step]) + "," +
                              std::to_string(one.job.layer) + "," + std::to_string(one.job.head) +
                              "," + result.head_kinds[j] + ",";
    for (const Figure& f : one.figures)
      text += place + std::string(to_string(f.branch)) + "," + result.recipes[f.recipe] + "," +
              to_string(f.quantity) + "," + csv_decimal(f.value) + "," +
              csv_decimal(f.standard_error) + "\n";
  }
  return text;
}

}  // namespace karat::study
