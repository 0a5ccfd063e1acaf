// Fields of a case with one value or several: every combination is a case.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <vector>

#include "karat/case/request.hpp"
#include "karat/sweep/spec.hpp"

namespace karat::sweep {

class CaseAxes {
 public:
  /// One field with its values, as a case is asked for.
  struct Axis {
    std::string field;
    std::vector<files::FieldValue> values;
    std::vector<std::string> words;  ///< of names and options
    std::string option;              ///< "--grid"
    bool flag = false;               ///< words are "true" and "false"; the option stands alone
    /// Writes one value. @param subject for errors
    std::function<void(cases::CaseRequest&, const files::FieldValue&)> write;
  };

  explicit CaseAxes(std::vector<Axis> axes) : axes_(std::move(axes)) {}

  std::size_t size() const;
  /// Every file that some case reads.
  std::set<std::string> files() const;
  cases::CaseRequest request(std::size_t number) const;
  /// The fields with several values: "grid=6x16x16.seed=3".
  std::string name(std::size_t number) const;
  /// " --grid 6,16,16 --seed 3"
  std::string options(std::size_t number) const;

 private:
  std::vector<std::size_t> digits(std::size_t number) const;
  std::vector<Axis> axes_;
};

/// @throws Error(usage) for unknown fields and values out of range
CaseAxes case_axes(const files::Json& given, const Places& places);

}  // namespace karat::sweep
