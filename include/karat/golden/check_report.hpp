// A check's report for people and for programs.
#pragma once

#include <string>
#include <string_view>

#include "karat/files/json_file.hpp"
#include "karat/golden/check.hpp"
#include "karat/report/text.hpp"

namespace karat::golden {

/// "equal", "within", "undecided" or "differs".
std::string_view verdict_name(Verdict verdict);
/// "matches", "undecided" or "differs": the verdict on the whole candidate.
std::string_view outcome_name(const CheckReport& report);
report::Tone tone_of(Verdict verdict);
/// "right", "412 of 8192 wrong", or nothing where the stage was not recomputed.
std::string forced_text(const StageReport& stage);
/// "batch 0, head 0 lies 5.1e-01 of its size from the golden values, legal kernels 2.3e-04 at most"
std::string doubt_text(const Doubt& doubt);

/// "c.npy matches g.h5", "... is undecided against ...", "... does not match ...".
std::string verdict_text(const CheckReport& report, const GoldenFile& golden,
                         const cases::TensorSource& candidate);

/// "next: karat diagnose g.h5 c.npy", for a candidate that is a file and no match; else nothing.
std::string next_text(const CheckReport& report, const GoldenFile& golden,
                      const cases::TensorSource& candidate);

/// A line per stage, the first difference in full, the verdict; only verdicts are painted.
std::string to_text(const CheckReport& report, const GoldenFile& golden,
                    const cases::TensorSource& candidate,
                    report::Painter painted = report::unpainted);
/// Fields as docs/json.md lists them.
files::Json to_json(const CheckReport& report, const GoldenFile& golden,
                    const cases::TensorSource& candidate);
/// One self-contained HTML page: the stage table, heat maps of o by tile, ulp histograms.
std::string to_page(const CheckReport& report, const GoldenFile& golden,
                    const cases::TensorSource& candidate);

}  // namespace karat::golden
