// Private: who accesses a CTA's shared memory from elsewhere. That memory is there from the CTA's
// beginning to its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace karat::ptx {

class Guests {
 public:
  /// Its last access.
  struct Guest {
    std::uint32_t clock = 0, pc = 0, address = 0;
  };
  /// The instruction by which the last warp left, and that warp.
  struct End {
    std::uint32_t pc = 0;
    std::size_t who = 0;
  };

  explicit Guests(std::size_t ctas) : of_(ctas), ends_(ctas) {}

  /// @param who  a warp of another CTA, or a part of the bulk engine
  void visit(std::size_t cta, std::size_t who, const Guest& guest) { of_[cta][who] = guest; }
  void end(std::size_t cta, const End& end) { ends_[cta] = end; }

  const std::map<std::size_t, Guest>& of(std::size_t cta) const { return of_[cta]; }
  /// Empty while it runs.
  const std::optional<End>& end_of(std::size_t cta) const { return ends_[cta]; }

 private:
  std::vector<std::map<std::size_t, Guest>> of_;
  std::vector<std::optional<End>> ends_;
};

}  // namespace karat::ptx
