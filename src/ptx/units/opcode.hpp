// Private: an opcode cut at its dots, and the one way to refuse it.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "karat/numerics/base/error.hpp"

namespace karat::ptx::units {

/// "fma.rn.f32": base "fma", parts {"rn", "f32"}. take() removes a part it finds, so that what is
/// left at the end is what nobody understood.
class Opcode {
 public:
  explicit Opcode(std::string_view text) : text_(text) {
    std::size_t at = 0;
    bool first = true;
    while (at <= text.size()) {
      const std::size_t end = std::min(text.find('.', at), text.size());
      const std::string_view part = text.substr(at, end - at);
      if (first) {
        base_ = part;
      } else {
        parts_.push_back(part);
      }
      first = false;
      at = end + 1;
    }
  }

  std::string_view text() const { return text_; }
  std::string_view base() const { return base_; }
  const std::vector<std::string_view>& parts() const { return parts_; }

  bool take(std::string_view part) {
    const auto found = std::find(parts_.begin(), parts_.end(), part);
    if (found == parts_.end()) return false;
    parts_.erase(found);
    return true;
  }
  /// The first of `names` that is there, removed; `otherwise` if none is.
  std::string_view take_one_of(std::initializer_list<std::string_view> names,
                               std::string_view otherwise = {}) {
    for (const std::string_view name : names) {
      if (take(name)) return name;
    }
    return otherwise;
  }
  /// The last part, removed; empty if there is none.
  std::string_view take_last() {
    if (parts_.empty()) return {};
    const std::string_view last = parts_.back();
    parts_.pop_back();
    return last;
  }
  std::string_view take_first() {
    if (parts_.empty()) return {};
    const std::string_view first = parts_.front();
    parts_.erase(parts_.begin());
    return first;
  }

  [[noreturn]] void refuse(const std::string& why) const {
    throw Error(ErrorKind::input_output, std::string(text_), "not supported: " + why);
  }
  /// Refuses what is left.
  void expect_nothing_left() const {
    if (!parts_.empty()) refuse("the part ." + std::string(parts_.front()));
  }

 private:
  std::string_view text_, base_;
  std::vector<std::string_view> parts_;
};

}  // namespace karat::ptx::units
