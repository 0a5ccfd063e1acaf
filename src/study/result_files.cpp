// A study's result as HDF5, and its figures as CSV.
#include <map>

#include "columns.hpp"
#include "karat/study/run.hpp"
#include "record_columns.hpp"

namespace karat::study {
namespace {

const std::string kSchema = "karat-study/1";

using capture::Job;
using cases::GradientOrigin;
constexpr Column<Job> kJobColumns[] = {column<&Job::prompt>("prompt"), column<&Job::step>("step"),
                                       column<&Job::layer>("layer"), column<&Job::head>("head")};

/// A figure of one of the jobs, its quantity as an index into a list of names.
struct NumberedFigure {
  std::int32_t job = 0;
  Figure figure;
  std::int32_t quantity = 0;
};
constexpr Column<NumberedFigure> kFigureColumns[] = {
    column<&NumberedFigure::job>("job"),
    column<&NumberedFigure::figure, &Figure::branch>("branch"),
    column<&NumberedFigure::figure, &Figure::recipe>("recipe"),
    column<&NumberedFigure::quantity>("quantity"),
    column<&NumberedFigure::figure, &Figure::value>("value"),
    column<&NumberedFigure::figure, &Figure::standard_error>("standard_error")};

/// The value that an attribute of the root names; the first where there is none, as in files of
/// before gradients.
template <class Value>
Value one_of(const files::Hdf5Reader& file, const std::string& name,
             std::initializer_list<Value> values) {
  if (!file.attributes("").contains(name)) return *values.begin();
  const std::string text = file.text("", name);
  for (const Value value : values)
    if (to_string(value) == text) return value;
  throw Error(ErrorKind::input_output, name, "\"" + text + "\" is none that studies have",
              "let karat study write it again");
}

/// Which of the jobs a row is of.
struct OfJob {
  std::int32_t job = 0;
};
constexpr Column<OfJob> kOfJobColumns[] = {column<&OfJob::job>("job")};

}  // namespace

void write_study(const std::filesystem::path& path, const StudyResult& result) {
  files::Hdf5Writer file(path, kSchema);
  std::map<Quantity, std::int32_t> numbers;
  std::vector<std::string> quantities;
  std::vector<Job> jobs;
  std::vector<NumberedFigure> figures;
  std::vector<OfJob> of_job;
  std::vector<RowRecord> rows;
  for (const JobResult& one : result.jobs) {
    const auto job = static_cast<std::int32_t>(jobs.size());
    jobs.push_back(one.job);
    for (const Figure& f : one.figures) {
      const auto [at, is_new] =
          numbers.try_emplace(f.quantity, static_cast<std::int32_t>(numbers.size()));
      if (is_new) quantities.push_back(to_string(f.quantity));
      figures.push_back({job, f, at->second});
    }
    of_job.insert(of_job.end(), one.rows.size(), {job});
    rows.insert(rows.end(), one.rows.begin(), one.rows.end());
  }
  write_columns(file, "jobs", jobs, kJobColumns);
  write_columns(file, "figures", figures, kFigureColumns);
  write_columns(file, "rows", of_job, kOfJobColumns);
  write_columns(file, "rows", rows, kRecordColumns);
  file.write("sigma", files::make_tensor(files::DType::f64, {result.sigma.size()}, result.sigma));
  file.set_attributes("jobs", {{"head_kinds", files::Json(result.head_kinds).dump()}});
  file.set_attributes("figures", {{"quantities", files::Json(quantities).dump()},
                                  {"branches", "0 conditional, 1 unconditional"}});
  file.set_attributes("", {{"study", result.identity.text},
                           {"study_sha256", result.identity.sha256},
                           {"origin", result.origin},
                           {"recipes", files::Json(result.recipes).dump()},
                           {"steps", std::int64_t{result.steps}},
                           {"guidance", std::vector<double>{result.guidance}},
                           {"pass", std::string(to_string(result.pass))},
                           {"output_gradient", std::string(to_string(result.output_gradient))}});
  if (result.pass == Pass::forward) write_sensitivity(file, sensitivity(result));
  file.commit();
}

StudyResult read_study(const std::filesystem::path& path) {
  const files::Hdf5Reader file(path);
  if (!file.contains("figures/value") || !file.contains("jobs/prompt"))
    throw Error(ErrorKind::input_output, path.string(), "holds no study",
                "give what karat study wrote");
  const std::string subject = path.string();
  const files::Tensor levels = file.read("sigma");
  const auto sigma = levels.as<double>();
  StudyResult result{.identity = {file.text("", "study"), file.text("", "study_sha256")},
                     .origin = file.text("", "origin"),
                     .steps = static_cast<int>(file.integer("", "steps")),
                     .sigma = {sigma.begin(), sigma.end()},
                     .guidance = 1,
                     .pass = one_of(file, "pass", {Pass::forward, Pass::backward}),
                     .output_gradient = one_of(
                         file, "output_gradient",
                         {GradientOrigin::none, GradientOrigin::given, GradientOrigin::generated}),
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
  for (const Job& job : read_columns<Job>(file, "jobs", kJobColumns, subject))
    result.jobs.push_back({.job = job, .figures = {}, .rows = {}});
  for (auto& [job, figure, quantity] :
       read_columns<NumberedFigure>(file, "figures", kFigureColumns, subject)) {
    figure.quantity = quantities.at(quantity);
    result.jobs.at(job).figures.push_back(figure);
  }
  const auto of_job = read_columns<OfJob>(file, "rows", kOfJobColumns, subject);
  const auto rows = read_columns<RowRecord>(file, "rows", kRecordColumns, subject);
  for (std::size_t i = 0; i < rows.size(); ++i)
    result.jobs.at(of_job.at(i).job).rows.push_back(rows[i]);
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
