// The options of a check and of a diagnosis as tables of fields, for whoever reads them.
#pragma once

#include <span>

#include "karat/files/request.hpp"
#include "karat/golden/check.hpp"
#include "karat/golden/diagnose.hpp"

namespace karat::golden {

/// What CheckOptions and DiagnoseOptions share: layout, order, threads.
template <typename Options>
std::span<const files::RequestField<Options>> candidate_fields();
/// Likewise which part to take: batch, head, block.
template <typename Options>
std::span<const files::RequestField<Options>> selection_fields();

/// allow, v_layout, error_ratio
std::span<const files::RequestField<CheckOptions>> check_fields();
/// alarm, blocks, most
std::span<const files::RequestField<DiagnoseOptions>> diagnose_fields();

}  // namespace karat::golden
