// Sorting rows into bins.
#include "karat/study/locus.hpp"

#include <algorithm>
#include <cmath>

namespace karat::study {

std::vector<LocusAxis> locus_axes() {
  return {{"kept mass", "share of attention the mask keeps", &RowRecord::kept_mass},
          {"entropy", "entropy of the row's attention (nats)", &RowRecord::entropy},
          {"largest logit", "largest logit of the row (nats)", &RowRecord::max_logit},
          {"edge", "tokens from the query to the window's edge", &RowRecord::edge}};
}

std::vector<LocusBin> locus(const StudyResult& result, std::int32_t recipe, const LocusAxis& axis,
                            std::size_t bins) {
  std::vector<const RowRecord*> rows;
  for (const JobResult& job : result.jobs)
    for (const RowRecord& row : job.rows)
      if (row.recipe == recipe) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [&](const RowRecord* a, const RowRecord* b) {
    return a->*axis.value < b->*axis.value;
  });
  std::vector<LocusBin> found;
  for (std::size_t b = 0; b < bins; ++b) {
    const std::size_t begin = rows.size() * b / bins, end = rows.size() * (b + 1) / bins;
    if (begin == end) continue;
    LocusBin bin{.rows = end - begin};
    double truth = 0;
    for (std::size_t i = begin; i < end; ++i) {
      bin.centre += rows[i]->*axis.value / static_cast<double>(end - begin);
      truth += rows[i]->truth;
      bin.mask += rows[i]->mask;
      bin.fp8 += rows[i]->given;
      bin.both += rows[i]->both;
    }
    for (double* error : {&bin.mask, &bin.fp8, &bin.both})
      *error = *error > 0 ? std::sqrt(*error / truth) : 0;
    found.push_back(bin);
  }
  return found;
}

}  // namespace karat::study
