// The options of a check and of a diagnosis as tables of fields, for whoever reads them; and what
// making a golden file answers.
#pragma once

#include <span>

#include "karat/files/request.hpp"
#include "karat/golden/check.hpp"
#include "karat/golden/diagnose.hpp"
#include "karat/golden/make.hpp"

namespace karat::golden {

/// What CheckOptions and DiagnoseOptions share: layout, order, threads.
template <typename Options>
std::span<const files::RequestField<Options>> candidate_fields();
/// Likewise which part to take: batch, head, block.
template <typename Options>
std::span<const files::RequestField<Options>> selection_fields();

/// allow, v_layout, error_ratio, strict
std::span<const files::RequestField<CheckOptions>> check_fields();
/// alarm, blocks, most
std::span<const files::RequestField<DiagnoseOptions>> diagnose_fields();

/// The fields of docs/json.md, "karat.make", but for those of the whole command.
files::Json to_json(const MakeSummary& summary, const std::string& file,
                    const recipe::Recipe& recipe);

}  // namespace karat::golden
