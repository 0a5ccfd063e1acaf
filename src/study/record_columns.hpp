// What a file and a journal say of a row that was looked at key by key, in this order.
#pragma once

#include "columns.hpp"
#include "karat/study/measure.hpp"

namespace karat::study {

inline constexpr Column<RowRecord> kRecordColumns[] = {
    column<&RowRecord::recipe>("recipe"),       column<&RowRecord::token>("token"),
    column<&RowRecord::truth>("truth"),         column<&RowRecord::mask>("mask"),
    column<&RowRecord::both>("both"),           column<&RowRecord::given>("given"),
    column<&RowRecord::kept_mass>("kept_mass"), column<&RowRecord::entropy>("entropy"),
    column<&RowRecord::max_logit>("max_logit"), column<&RowRecord::edge>("edge")};

}  // namespace karat::study
