// An octave of ex2 or rcp: unpacked, brought to units of 2^-23, and fitted.
#include "karat/evidence/octave.hpp"

#include "comparison.hpp"
#include "karat/evidence/inputs.hpp"
#include "models.hpp"

namespace karat::evidence {
namespace {

constexpr std::uint32_t kOneBits = 0x3F800000u;
constexpr std::uint32_t kTwoBits = 0x40000000u;
constexpr std::uint32_t kHidden = 1u << kFractionBits;

/// How an octave's result words become values in [1, 2], in units of 2^-23.
struct OctaveOf {
  std::string_view instruction;
  int direction;       ///< of the results over the octave
  int segment_bits;    ///< as published
  std::uint32_t base;  ///< the word that stands for 1: 2^x lies in [2, 4), 1/x in (1/2, 1]
};
constexpr OctaveOf kFunctions[] = {
    {kEx2, 1, 6, kTwoBits},
    {kRcp, -1, 7, kOneBits - kHidden},
};

std::string listed(const std::vector<int>& segments) {
  std::string text;
  for (std::size_t i = 0; i < segments.size() && i < 4; ++i)
    text += (i ? ", " : "") + std::to_string(segments[i]);
  return text + (segments.size() > 4 ? ", ..." : "");
}

}  // namespace

std::vector<Compared> compare_octave(const CaptureReader& file, Context& context) {
  const std::string name = file.text("instruction");
  Part part{.file = file.name(), .what = "one octave, every mantissa"};
  const OctaveOf* function = nullptr;
  for (const OctaveOf& candidate : kFunctions)
    if (candidate.instruction == name) function = &candidate;
  if (function == nullptr)
    return {{name, std::move(part), "the emulator has no such function: nothing compared"}};

  const std::vector<std::uint32_t> symbols = file.words("symbols", kOctaveSize / 4);
  const std::optional<std::vector<std::uint32_t>> words =
      unpack_octave({{symbols.begin(), symbols.end()}, file.words("escapes")}, function->direction);
  if (!words) file.fail("escapes", "do not match the symbols");
  part.rows = words->size();

  std::vector<std::uint32_t> values;
  for (std::uint32_t i = 0; i < words->size(); ++i) {
    const std::uint32_t word = (*words)[i];
    if (word < function->base || word > function->base + kHidden) {
      part.difference =
          "input " + hex(kOctaveFirst + i) + ": " + hex(word) + " lies outside the octave's range";
      return {{name, std::move(part), ""}};
    }
    values.push_back(word - function->base + kHidden);
  }
  const FitResult fit =
      fit_octave(values, {.segment_bits = function->segment_bits, .threads = context.threads});
  if (!fit.table) {
    part.difference = "no table of " + std::to_string(1 << function->segment_bits) +
                      " quadratics reproduces the octave; with " +
                      std::to_string(fit.square_dropped) + " bits of the square dropped, " +
                      std::to_string(fit.refused.size()) +
                      " segments refuse: " + listed(fit.refused);
    return {{name, std::move(part), ""}};
  }
  part.equal = part.rows;
  (name == kEx2 ? context.ex2 : context.rcp) = fit.table;
  const QuadraticTable& t = *fit.table;
  return {{name, std::move(part),
           "fitted to this capture: " + std::to_string(t.segments.size()) +
               " quadratics, fraction bits " + std::to_string(t.f0) + ", " + std::to_string(t.f1) +
               ", " + std::to_string(t.f2) + ", " + std::to_string(t.square_dropped) +
               " bits of the square dropped"}};
}

}  // namespace karat::evidence
