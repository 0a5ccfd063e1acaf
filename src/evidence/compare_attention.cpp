// The attention kernel's stages, each recomputed from the capture's own previous stages.
#include <bit>

#include "attention.hpp"
#include "comparison.hpp"

namespace karat::evidence {
namespace {

std::uint32_t bits(float x) { return std::bit_cast<std::uint32_t>(x); }
std::uint32_t bits(std::uint8_t x) { return x; }
std::uint32_t bits(std::uint16_t x) { return x; }

void read(const CaptureReader& file, const char* stage, std::size_t count, std::vector<float>& x) {
  x = file.floats(stage, count);
}
template <typename Code>
void read(const CaptureReader& file, const char* stage, std::size_t count, std::vector<Code>& x) {
  const std::vector<std::uint32_t> words = file.words(stage, count);
  x.assign(words.begin(), words.end());
}

/// One stage's part of the report; elements are numbered (row, column) by `columns`.
template <typename T>
Compared compared(const CaptureReader& file, const std::string& stage, std::size_t columns,
                  const std::vector<T>& captured, const std::vector<T>& emulated) {
  Part part{.file = file.name(), .what = "one CTA"};
  if (emulated.empty())
    return {"kernel.attention." + stage, std::move(part),
            "no coefficient table for this stage's function: nothing compared"};
  part.what += ", from the captured stage before";
  part.rows = captured.size();
  for (std::size_t i = 0; i < captured.size(); ++i) {
    if (bits(captured[i]) == bits(emulated[i]))
      ++part.equal;
    else if (part.difference.empty())
      part.difference = stage + "[" + std::to_string(i / columns) + ", " +
                        std::to_string(i % columns) + "]: captured " +
                        hex(bits(captured[i]), 8 * sizeof(T)) + ", emulated " +
                        hex(bits(emulated[i]), 8 * sizeof(T));
  }
  return {"kernel.attention." + stage, std::move(part), ""};
}

}  // namespace

std::vector<Compared> compare_attention(const CaptureReader& file, Context& context) {
  Stages captured, emulated;
  for_each_stage([&](const char* stage, auto member, std::size_t rows, std::size_t columns) {
    read(file, stage, rows * columns, captured.*member);
  });
  compute(emulated, captured, file.number("seed"), ex2_function(context.ex2),
          rcp_function(context.rcp));
  std::vector<Compared> list;
  for_each_stage([&](const char* stage, auto member, std::size_t, std::size_t columns) {
    list.push_back(compared(file, stage, columns, captured.*member, emulated.*member));
  });
  return list;
}

}  // namespace karat::evidence
