// Student's t: how much wider an interval is when few values tell the spread.
#pragma once

namespace karat::statistics {

/// Two-sided 95 % quantile; 1.96 in the limit. @pre degrees >= 1
double student_t95(int degrees);

}  // namespace karat::statistics
