// A study as one HTML page that needs nothing else.
#pragma once

#include <string>

#include "karat/study/summary.hpp"

namespace karat::study {

struct PageFacts {
  std::string command;  ///< as it was typed
  std::string version;
};

/// Same result and facts, same bytes.
std::string html_page(const StudyResult& result, const Summary& summary, const PageFacts& facts);

}  // namespace karat::study
