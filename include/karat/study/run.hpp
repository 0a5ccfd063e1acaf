// A whole study: every job measured once, finished jobs kept in a journal, one result at the end.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "karat/study/measure.hpp"
#include "karat/study/sensitivity.hpp"

namespace karat::study {

/// What a study was asked: enough to know whether a journal or a result belongs to it.
struct StudyIdentity {
  std::string text;    ///< JSON: source, recipes in full, sampling, what is taken apart
  std::string sha256;  ///< of that text
};
StudyIdentity identity_of(const capture::Source& source, const std::vector<recipe::Recipe>& recipes,
                          const MeasureOptions& options);

/// "none", "given", "generated"
std::string_view to_string(cases::GradientOrigin origin);

struct StudyResult {
  StudyIdentity identity;
  std::string origin;
  int steps = 0;
  std::vector<double> sigma;
  double guidance = 1;
  Pass pass = Pass::forward;
  /// Of a backward: given with the capture, or generated from the seed and the cell.
  cases::GradientOrigin output_gradient = cases::GradientOrigin::none;
  std::vector<std::string> recipes;     ///< names
  std::vector<JobResult> jobs;          ///< ascending by job
  std::vector<std::string> head_kinds;  ///< per job
};

/// The result of measured jobs, with all that the source says about them.
/// @param jobs of the source, ascending; each once
StudyResult assemble(const capture::Source& source, const std::vector<recipe::Recipe>& recipes,
                     Pass pass, const StudyIdentity& identity, std::vector<JobResult> jobs);

/// One finished job as a line of JSON, without a newline: what a journal holds.
std::string job_line(const JobResult& job);
/// Reads it. @throws Error(input_output) about `subject` for anything else
JobResult parse_job_line(std::string_view line, const std::string& subject);

/// Finished jobs, one line of JSON each, appended and made durable as they come. A line that a
/// killed run left half written is dropped.
class Journal {
 public:
  /// Opens or begins the journal of this study.
  /// @throws Error(input_output) when the file cannot be written or belongs to another study
  Journal(const std::filesystem::path& path, const StudyIdentity& identity);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::vector<JobResult>& finished() const { return finished_; }
  /// Not thread-safe.
  void append(const JobResult& job);
  /// Deletes the file; the result is written.
  void remove();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::vector<JobResult> finished_;
};

struct RunOptions {
  int threads = 0;  ///< 0: all the machine has; jobs run beside each other, one thread each
  /// Work done, in steps of all jobs; from any worker. An exception stops the study, and the
  /// journal keeps what was finished.
  std::function<void(std::size_t done, std::size_t total)> progress;
};

/// Measures the jobs that the journal lacks. The result depends on source, workbench and options of
/// measuring alone.
StudyResult run(const capture::Source& source, const Workbench& bench,
                const StudyIdentity& identity, Journal& journal, const RunOptions& options);

/// The table a tuner reads: quantity "both" of every cell, with "guided" where it was measured.
/// @throws Error(input_output) for a study of gradients
SensitivityTable sensitivity(const StudyResult& result);

/// HDF5 "karat-study/1"; docs/study.md names every dataset. One of gradients has no sensitivity.
/// Same result, same bytes.
void write_study(const std::filesystem::path& path, const StudyResult& result);
/// @throws Error(input_output) for files that are no study
StudyResult read_study(const std::filesystem::path& path);

/// Every figure:
/// prompt,step,steps,sigma,layer,head,head_kind,branch,recipe,quantity,value,standard_error.
std::string figures_csv(const StudyResult& result);

}  // namespace karat::study
