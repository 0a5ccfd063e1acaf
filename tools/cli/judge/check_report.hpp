// A check's report for people and for programs.
#pragma once

#include <string>
#include <string_view>

#include "karat/files/json_file.hpp"
#include "karat/golden/check.hpp"

namespace karat::cli {

enum class TextFor { terminal, page };  ///< with colours where there is a terminal; without

std::string check_text(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const cases::TensorSource& candidate, TextFor reader = TextFor::terminal);
std::string_view verdict_name(golden::Verdict verdict);
/// "right", "412 of 8192 wrong", or nothing where the stage was not recomputed.
std::string forced_text(const golden::StageReport& stage);
/// Fields as docs/json.md lists them.
files::Json check_json(const golden::CheckReport& report, const golden::GoldenFile& golden,
                       const cases::TensorSource& candidate);

}  // namespace karat::cli
