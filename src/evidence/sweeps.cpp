// Conversions and special functions over all inputs against the emulator.
#include <bit>

#include "comparison.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "models.hpp"

namespace karat::evidence {
namespace {

void convert(std::uint32_t first, std::span<std::uint32_t> results) {
  std::vector<float> x(results.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = std::bit_cast<float>(first + static_cast<std::uint32_t>(i));
  std::vector<std::uint8_t> codes(x.size());
  numerics::encode_e4m3(x, codes, numerics::policy("nvidia_satfinite"));
  std::copy(codes.begin(), codes.end(), results.begin());
}

Function by_table(const std::optional<QuadraticTable>& table,
                  std::uint32_t (*bits)(const Interpolator&, std::uint32_t)) {
  if (!table) return {};
  return [unit = Interpolator(*table), bits](float x) {
    return std::bit_cast<float>(bits(unit, std::bit_cast<std::uint32_t>(x)));
  };
}

}  // namespace

Function ex2_function(const std::optional<QuadraticTable>& table) {
  return by_table(table, ex2_bits);
}
Function rcp_function(const std::optional<QuadraticTable>& table) {
  return by_table(table, rcp_bits);
}

std::optional<Sweep> sweep_model(const std::string& instruction,
                                 const std::optional<QuadraticTable>& ex2,
                                 const std::optional<QuadraticTable>& rcp) {
  if (instruction == kConversion) return convert;
  const Function function = instruction == kEx2   ? ex2_function(ex2)
                            : instruction == kRcp ? rcp_function(rcp)
                                                  : Function{};
  if (!function) return std::nullopt;
  return [function](std::uint32_t first, std::span<std::uint32_t> results) {
    for (std::uint32_t i = 0; i < results.size(); ++i)
      results[i] = std::bit_cast<std::uint32_t>(function(std::bit_cast<float>(first + i)));
  };
}

SweptBlock sweep_block(const Sweep& sweep, std::uint32_t block) {
  std::vector<std::uint32_t> results(1u << kSweepBlockBits);
  const std::uint32_t first = block << kSweepBlockBits;
  sweep(first, results);
  SweptBlock swept;
  for (std::uint32_t i = 0; i < results.size(); ++i)
    swept.hash += fingerprint(first + i, results[i]);
  for (std::uint32_t s = 0; s < kSamples; ++s) swept.samples[s] = results[s * kSampleStride];
  return swept;
}

std::vector<std::uint8_t> f16_conversions() {
  std::vector<std::uint8_t> codes(1u << 16);
  for (std::uint32_t x = 0; x < codes.size(); ++x)
    codes[x] = static_cast<std::uint8_t>(
        numerics::encode(numerics::decode(x, numerics::FormatId::f16), numerics::FormatId::e4m3,
                         numerics::policy("nvidia_satfinite")));
  return codes;
}

std::vector<Compared> compare_sweep(const CaptureReader& file, Context& context) {
  const std::string name = file.text("instruction");
  const std::vector<std::uint32_t> blocks = file.words("block");
  const std::vector<std::uint64_t> hashes = file.hashes("hashes", blocks.size());
  const std::vector<std::uint32_t> samples = file.words("samples", blocks.size() * kSamples);
  for (const std::uint32_t block : blocks)
    if (block >= kSweepBlocks) file.fail("block", std::to_string(block) + " does not exist");
  Part part{.file = file.name(), .what = "sweep in blocks of 2^20"};
  const std::optional<Sweep> sweep = sweep_model(name, context.ex2, context.rcp);
  if (!sweep)
    return {{name, std::move(part),
             "no coefficient table: the sweep needs an octave that a table reproduces"}};

  std::vector<SweptBlock> swept(blocks.size());
  numerics::parallel_for(blocks.size(), context.threads,
                         [&](std::size_t i, int) { swept[i] = sweep_block(*sweep, blocks[i]); });
  part.rows = std::uint64_t{blocks.size()} << kSweepBlockBits;
  std::string unlocated;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    std::uint32_t differing = 0;
    for (std::uint32_t s = 0; s < kSamples; ++s) {
      const std::uint32_t captured = samples[i * kSamples + s];
      if (captured == swept[i].samples[s]) continue;
      ++differing;
      if (part.difference.empty())
        part.difference = "input " + hex((blocks[i] << kSweepBlockBits) + s * kSampleStride) +
                          ": captured " + hex(captured) + ", emulated " + hex(swept[i].samples[s]);
    }
    const bool same_hash = hashes[i] == swept[i].hash;
    if (same_hash) part.equal += (1u << kSweepBlockBits) - differing;
    if (!same_hash && unlocated.empty())
      unlocated = "inputs from " + hex(blocks[i] << kSweepBlockBits) +
                  " on: the hash of their block differs, no sample of it does; all 2^20 count as "
                  "unequal";
  }
  if (part.difference.empty()) part.difference = unlocated;
  return {{name, std::move(part), ""}};
}

std::vector<Compared> compare_f16_conversion(const CaptureReader& file, Context&) {
  const std::vector<std::uint32_t> captured = file.words("codes", 1u << 16);
  const std::vector<std::uint8_t> emulated = f16_conversions();
  Part part{.file = file.name(), .what = "all f16", .rows = captured.size()};
  for (std::uint32_t x = 0; x < captured.size(); ++x) {
    if (captured[x] == emulated[x])
      ++part.equal;
    else if (part.difference.empty())
      part.difference = "f16 " + hex(x, 16) + ": captured " + hex(captured[x], 8) + ", emulated " +
                        hex(emulated[x], 8);
  }
  return {{file.text("instruction"), std::move(part), ""}};
}

}  // namespace karat::evidence
