// Candidates of one golden file beside each other.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "karat/golden/check_report.hpp"
#include "karat/report/table.hpp"

namespace karat::cli {

struct Checked {
  std::unique_ptr<cases::TensorSource> candidate;
  golden::CheckReport report;
};

/// A row per stage that any of them holds, columns for every candidate ("a", "b"); below it the
/// first difference, the error against FP64 and the verdict of each.
std::string side_by_side(std::span<const Checked> candidates, const golden::GoldenFile& golden,
                         report::TableStyle style, report::Painter painted);

}  // namespace karat::cli
