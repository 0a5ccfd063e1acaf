// A study as one HTML page that needs nothing else.
#pragma once

#include <string>

#include "karat/report/html.hpp"
#include "karat/study/summary.hpp"

namespace karat::study {

/// The same arguments give the same bytes.
std::string html_page(const StudyResult& result, const Summary& summary,
                      const report::Provenance& made_by);

}  // namespace karat::study
