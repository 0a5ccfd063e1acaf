// A journal survives a kill at any moment: whole lines count, the torn end is cut off.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "karat/files/paths.hpp"
#include "karat/study/run.hpp"
#include "record_columns.hpp"

namespace karat::study {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(ErrorKind::input_output, path.string(), what + ": " + std::strerror(error),
              "check the folder and the disk");
}

void write_all(const std::filesystem::path& path, int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path, "cannot be written", errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fdatasync(descriptor) != 0) fail(path, "cannot be made durable", errno);
}

std::string first_line(const StudyIdentity& identity) {
  return files::Json{{"schema", "karat.study_journal"}, {"version", 1}, {"study", identity.sha256}}
             .dump() +
         "\n";
}

/// {"job": [prompt, step, layer, head], "figures": [[branch, recipe, quantity, value, error], ...],
///  "rows": [[recipe, token, truth, mask, both, given, kept, entropy, logit, edge], ...]}
files::Json to_json(const JobResult& result) {
  files::Json json{{"job", {result.job.prompt, result.job.step, result.job.layer, result.job.head}},
                   {"figures", files::Json::array()},
                   {"rows", files::Json::array()}};
  for (const Figure& f : result.figures)
    json["figures"].push_back(
        {static_cast<int>(f.branch), f.recipe, to_string(f.quantity), f.value, f.standard_error});
  for (const RowRecord& r : result.rows) json["rows"].push_back(json_row(r, kRecordColumns));
  return json;
}

/// @throws nlohmann's exceptions for anything else
JobResult job_result(const files::Json& json) {
  const auto& job = json.at("job");
  JobResult result{.job = {job.at(0), job.at(1), job.at(2), job.at(3)}, .figures = {}, .rows = {}};
  for (const auto& f : json.at("figures"))
    result.figures.push_back({.branch = static_cast<video::Branch>(f.at(0).get<int>()),
                              .recipe = f.at(1),
                              .quantity = parse_quantity(f.at(2).get<std::string>(), "journal"),
                              .value = f.at(3),
                              .standard_error = f.at(4)});
  for (const auto& r : json.at("rows")) result.rows.push_back(row_of<RowRecord>(r, kRecordColumns));
  return result;
}

}  // namespace

std::string job_line(const JobResult& job) { return to_json(job).dump(); }

JobResult parse_job_line(std::string_view line, const std::string& subject) {
  try {
    return job_result(files::parse_json(line, subject));
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorKind::input_output, subject, "is no measured cell", "measure it again");
  }
}

Journal::Journal(const std::filesystem::path& path, const StudyIdentity& identity) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path, "cannot be opened", errno);
  const std::string text = files::read_text(path);
  const std::string heading = first_line(identity);
  std::size_t good = 0;
  for (std::size_t end; (end = text.find('\n', good)) != std::string::npos; good = end + 1) {
    if (good == 0) {
      if (text.compare(0, end + 1, heading) != 0)
        throw Error(ErrorKind::input_output, path.string(),
                    "is the journal of a study with other recipes, cells or options",
                    "finish that study, delete the file, or choose another --out");
      continue;
    }
    try {
      finished_.push_back(job_result(files::Json::parse(text.substr(good, end - good))));
    } catch (const nlohmann::json::exception&) {
      break;  // a torn write; what follows is measured again
    }
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(good)) != 0) fail(path, "cannot be cut", errno);
  if (::lseek(descriptor_, 0, SEEK_END) < 0) fail(path, "cannot be continued", errno);
  if (good == 0) write_all(path_, descriptor_, heading);
}

Journal::~Journal() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void Journal::append(const JobResult& job) { write_all(path_, descriptor_, job_line(job) + "\n"); }

void Journal::remove() {
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

}  // namespace karat::study
