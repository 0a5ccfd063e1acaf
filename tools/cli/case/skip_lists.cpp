// Implementation of case/skip_lists.hpp.
#include "case/skip_lists.hpp"

#include <nlohmann/json.hpp>

#include "karat/files/safetensors.hpp"
#include "options.hpp"

namespace karat::cli {

void add_skip_lists(CommandLine& line) {
  line.add({{"skip-lists",
             "write the tiles of the next denoising step (skip.rule next_step): mask_id "
             "[B,H,Q,K], read by --mask"},
            {"must-do", "a mask file: its tiles stay on the lists whatever a step finds"},
            {"must-skip", "a mask file: its tiles never are on the lists"}},
           "Skip lists");
}

SkipListFiles read_skip_lists(const cxxopts::ParseResult& given) {
  SkipListFiles files{.next = text_of(given, "skip-lists"), .standing = {}};
  for (const char* name : {"must-do", "must-skip"}) {
    const auto path = text_of(given, name);
    if (!path) continue;
    if (!files.next)
      throw Error(ErrorKind::usage, std::string("--") + name, "says nothing without --skip-lists",
                  "give --skip-lists FILE too");
    auto& tiles =
        std::string_view(name) == "must-do" ? files.standing.must_do : files.standing.must_skip;
    tiles = std::make_shared<const cases::GivenMask>(cases::GivenMask::open(*path));
  }
  return files;
}

void write_skip_lists(const std::string& path, files::Tensors mask_id,
                      const recipe::Recipe& recipe) {
  mask_id["block_size"] = cases::tile_size(recipe);
  files::write_safetensors(path, mask_id, cases::tile_metadata());
}

void VisitCount::count(const layout::Layout& layout, const attention::HeadResult& result) {
  for (const auto& row : layout.blocks.rows) visits_ += std::ssize(row);
  for (const auto& blocks : result.small_blocks) small_ += std::ssize(blocks);
}

std::string VisitCount::told(const recipe::Recipe& recipe) const {
  return std::to_string(small_) + " of " + std::to_string(visits_) + " tiles are small: " +
         (recipe::skips_now(recipe.skip.rule) ? "left out" : "left out from the next step on");
}

files::Json VisitCount::json() const { return {{"visits", visits_}, {"small", small_}}; }

}  // namespace karat::cli
