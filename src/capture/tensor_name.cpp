// Reading a name from left to right.
#include "tensor_name.hpp"

#include <array>
#include <charconv>

#include "karat/numerics/base/error.hpp"

namespace karat::capture {

std::optional<TensorName> parse_name(std::string_view text) {
  std::array<std::int32_t, 4> numbers{};
  constexpr std::string_view kLetters = "pslh";
  for (std::size_t i = 0; i < kLetters.size(); ++i) {
    if (text.empty() || text.front() != kLetters[i]) return std::nullopt;
    text.remove_prefix(1);
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), numbers[i]);
    if (failure != std::errc{} || numbers[i] < 0 || end == text.data() + text.size() || *end != '.')
      return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  }
  const auto dot = text.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const std::string_view branch = text.substr(0, dot);
  if (branch != "cond" && branch != "uncond") return std::nullopt;
  return TensorName{{numbers[0], numbers[1], numbers[2], numbers[3],
                     branch == "cond" ? video::Branch::conditional : video::Branch::unconditional},
                    std::string(text.substr(dot + 1))};
}

std::string_view word_of(video::Branch branch) {
  return branch == video::Branch::conditional ? "cond" : "uncond";
}

std::string name_of(const Job& job) {
  return "p" + std::to_string(job.prompt) + ".s" + std::to_string(job.step) + ".l" +
         std::to_string(job.layer) + ".h" + std::to_string(job.head);
}

std::string name_of(const Cell& cell) {
  return name_of(Job{cell.prompt, cell.step, cell.layer, cell.head}) + '.' +
         std::string(word_of(cell.branch));
}

Cell parse_cell(std::string_view text, const std::string& subject) {
  const auto name = parse_name(std::string(text) + ".");
  if (!name || !name->tensor.empty())
    throw Error(ErrorKind::usage, subject, "\"" + std::string(text) + "\" is no cell",
                "give pPROMPT.sSTEP.lLAYER.hHEAD.BRANCH, for example p0.s12.l3.h4.cond");
  return name->cell;
}

}  // namespace karat::capture
