// Options and reports of recipes that leave tiles out: karat attend and karat mask share them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "command.hpp"
#include "karat/case/skip_lists.hpp"

namespace karat::cli {

/// --skip-lists, --must-do, --must-skip.
void add_skip_lists(CommandLine& line);

struct SkipListFiles {
  std::optional<std::string> next;  ///< where to write the lists
  cases::StandingTiles standing;
};
/// @throws Error(usage) for standing lists without lists to write
SkipListFiles read_skip_lists(const cxxopts::ParseResult& given);

/// mask_id with what else --mask needs to read it.
void write_skip_lists(const std::string& path, files::Tensors mask_id,
                      const recipe::Recipe& recipe);

/// Tiles that heads visited, and those of them that skip.rule found small.
class VisitCount {
 public:
  void count(const layout::Layout& layout, const attention::HeadResult& result);
  /// One sentence.
  std::string told(const recipe::Recipe& recipe) const;
  files::Json json() const;

 private:
  std::int64_t visits_ = 0, small_ = 0;
};

}  // namespace karat::cli
