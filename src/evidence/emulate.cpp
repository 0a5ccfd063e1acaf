// Synthetic captures: every file of tools/hopper/capture.sh, from the emulator instead of a GPU.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "attention.hpp"
#include "karat/evidence/deciders.hpp"
#include "karat/evidence/evidence.hpp"
#include "karat/evidence/octave.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/functions/exp2.hpp"

namespace karat::evidence {
namespace {

namespace fs = std::filesystem;
using files::DType;

/// The instructions of tools/hopper/capture_steps.cu.
constexpr std::string_view kInstructions[] = {
    "hopper.wgmma.e4m3.f32", "hopper.wgmma.e5m2.f32", "hopper.wgmma.e4m3.f16",
    "hopper.wgmma.e5m2.f16", "hopper.wgmma.bf16.f32", "hopper.wgmma.f16.f32",
    "hopper.wgmma.f16.f16",  "hopper.wgmma.tf32.f32", "hopper.wgmma.s8.s32",
    "hopper.mma.e4m3.f32",   "hopper.mma.e5m2.f32",   "hopper.mma.e4m3.f16",
    "hopper.mma.e5m2.f16",
};
constexpr std::uint32_t kSampleRows = 512;

/// INT8 sums are exact: a chain of them shows nothing new.
bool has_chains(std::string_view instruction) { return instruction != "hopper.wgmma.s8.s32"; }

/// Words in the narrowest unsigned type that holds `bits`.
files::Tensor words(files::Shape shape, const std::vector<std::uint32_t>& values, int bits) {
  if (bits == 8)
    return files::make_tensor(DType::u8, std::move(shape),
                              std::vector<std::uint8_t>(values.begin(), values.end()));
  if (bits == 16)
    return files::make_tensor(DType::u16, std::move(shape),
                              std::vector<std::uint16_t>(values.begin(), values.end()));
  return files::make_tensor(DType::u32, std::move(shape), values);
}

template <typename T>
files::Tensor list(const std::vector<T>& values) {
  constexpr DType dtype = std::is_same_v<T, float> ? DType::f32
                          : sizeof(T) == 8         ? DType::u64
                          : sizeof(T) == 4         ? DType::u32
                          : sizeof(T) == 2         ? DType::u16
                                                   : DType::u8;
  return files::make_tensor(dtype, {values.size()}, values);
}

class Writer {
 public:
  Writer(fs::path folder, const EmulateOptions& options)
      : folder_(std::move(folder)), options_(options) {}

  void steps(std::string_view name, bool chained) {
    const std::string file = (chained ? "chains_" : "steps_") + std::string(name);
    if (!wanted(file)) return;
    const StepModel model = *step_model(std::string(name));
    const numerics::Format out = numerics::format(model.instruction->accumulator);
    const SeededTiles source{options_.seed, model.k, chained};
    const std::uint32_t tiles = chained ? options_.chain_tiles : options_.tiles;
    const std::vector<std::uint32_t> lengths =
        chained ? std::vector<std::uint32_t>(std::begin(kChainLengths), std::end(kChainLengths))
                : std::vector<std::uint32_t>{1};
    const auto d = run_tiles(model, source, tiles, lengths, options_.threads, [&] { step(); });
    const std::uint32_t cases = tiles * kTileCases, samples = std::min(kSampleRows, cases);
    std::vector<std::uint32_t> numbers, sample, a, b, c;
    std::vector<std::uint64_t> hashes;
    for (std::uint32_t i = 0; i < samples; ++i)
      numbers.push_back(
          static_cast<std::uint32_t>(std::uint64_t{i} * (cases / samples + 1) % cases));
    for (const auto& row : d) {
      for (const std::uint32_t i : numbers) sample.push_back(row[i]);
      const auto sums = tile_hashes(row);
      hashes.insert(hashes.end(), sums.begin(), sums.end());
    }
    files::Tensors tensors;
    tensors["lengths"] = list(lengths);
    tensors["hashes"] = files::make_tensor(DType::u64, {lengths.size(), tiles}, hashes);
    tensors["case"] = list(numbers);
    tensors["d"] = words({lengths.size(), samples}, sample, out.bits);
    if (!chained) {
      for (const std::uint32_t i : numbers) {
        const CaseOperands operands = case_operands(model, source, i);
        a.insert(a.end(), operands.a.begin(), operands.a.end());
        b.insert(b.end(), operands.b.begin(), operands.b.end());
        c.push_back(operands.c);
      }
      const auto k = static_cast<std::size_t>(model.k);
      tensors["a"] = words({samples, k}, a, model.word.bits);
      tensors["b"] = words({samples, k}, b, model.word.bits);
      tensors["c"] = words({samples}, c, out.bits);
    }
    write(file, tensors,
          {{"program", chained ? "chains" : "steps"},
           {"instruction", std::string(name)},
           {"seed", std::to_string(options_.seed)},
           {"tiles", std::to_string(tiles)}});
  }

  void deciders(std::string_view name) {
    const std::string file = "rows_" + std::string(name);
    if (!wanted(file)) return;
    const StepModel model = *step_model(std::string(name));
    const int out = numerics::format(model.instruction->accumulator).bits;
    std::vector<std::uint32_t> a, b, c, d;
    for (const Decider& row : kDeciders) {
      if (row.instruction != name) continue;
      const DeciderOperands o = operands(row, model.word.bits, model.k);
      a.insert(a.end(), o.a.begin(), o.a.end());
      b.insert(b.end(), o.b.begin(), o.b.end());
      c.push_back(o.c);
      d.push_back(numerics::step_bits(*model.instruction, model.codes(o.a), model.codes(o.b), o.c));
    }
    if (d.empty()) return;
    const auto k = static_cast<std::size_t>(model.k);
    write(file,
          {{"a", words({d.size(), k}, a, model.word.bits)},
           {"b", words({d.size(), k}, b, model.word.bits)},
           {"c", words({d.size()}, c, out)},
           {"d", words({d.size()}, d, out)}},
          {{"program", "rows"}, {"instruction", std::string(name)}});
  }

  void sweep(std::string_view name) {
    const std::string file = "sweep_" + std::string(name);
    if (!wanted(file)) return;
    const Sweep function =
        *sweep_model(std::string(name), synthetic_ex2_table(), synthetic_rcp_table());
    std::vector<std::uint32_t> blocks, samples;
    for (std::uint32_t block = 0; block < kSweepBlocks; block += options_.sweep_step)
      blocks.push_back(block);
    std::vector<SweptBlock> swept(blocks.size());
    numerics::parallel_for(blocks.size(), options_.threads, [&](std::size_t i, int) {
      swept[i] = sweep_block(function, blocks[i]);
      step();
    });
    std::vector<std::uint64_t> hashes;
    for (const SweptBlock& block : swept) {
      hashes.push_back(block.hash);
      samples.insert(samples.end(), std::begin(block.samples), std::end(block.samples));
    }
    write(file,
          {{"block", list(blocks)},
           {"hashes", list(hashes)},
           {"samples", files::make_tensor(DType::u32, {blocks.size(), kSamples}, samples)}},
          {{"program", "sweep"}, {"instruction", std::string(name)}});
  }

  void octave(std::string_view name, int direction) {
    const std::string file = "octave_" + std::string(name);
    if (!wanted(file)) return;
    const Sweep function =
        *sweep_model(std::string(name), synthetic_ex2_table(), synthetic_rcp_table());
    std::vector<std::uint32_t> values(kOctaveSize);
    function(kOctaveFirst, values);
    const PackedOctave packed = pack_octave(values, direction);
    write(file, {{"symbols", list(packed.symbols)}, {"escapes", list(packed.escapes)}},
          {{"program", "octave"}, {"instruction", std::string(name)}});
  }

  /// Steps of tiles and swept blocks of a whole capture.
  std::size_t work() const {
    std::size_t steps = 0;
    for (const std::string_view name : kInstructions) {
      if (wanted("steps_" + std::string(name))) steps += options_.tiles;
      if (has_chains(name) && wanted("chains_" + std::string(name)))
        steps += std::size_t{options_.chain_tiles} * std::end(kChainLengths)[-1];
    }
    for (const std::string_view name : {kConversion, kEx2, kRcp})
      if (wanted("sweep_" + std::string(name)))
        steps += (kSweepBlocks + options_.sweep_step - 1) / options_.sweep_step;
    return steps;
  }

  void f16_conversion() {
    if (!wanted("f16_conversion")) return;
    write("f16_conversion", {{"codes", list(f16_conversions())}},
          {{"program", "f16_conversion"}, {"instruction", std::string(kConversionF16)}});
  }

  void attention_kernel() {
    if (!wanted("attention")) return;
    Stages stages;
    compute(stages, stages, options_.seed, ex2_function(synthetic_ex2_table()),
            rcp_function(synthetic_rcp_table()));
    files::Tensors tensors;
    for_each_stage([&](const char* stage, auto member, std::size_t, std::size_t) {
      tensors[stage] = list(stages.*member);
    });
    write("attention", tensors,
          {{"program", "attention"}, {"seed", std::to_string(options_.seed)}});
  }

  void manifest() const {
    files::Json json{{"schema", "karat-capture/1"},
                     {"origin", "emulator"},
                     {"gpu", "none"},
                     {"seed", std::to_string(options_.seed)}};
    json["files"] = files::Json::array();
    for (const std::string& name : names_)
      json["files"].push_back({{"name", name}, {"sha256", files::sha256_file(folder_ / name)}});
    files::write_json(folder_ / "manifest.json", json);
  }

 private:
  void step() {
    if (options_.progress) options_.progress(++done_, total_);
  }
  bool wanted(const std::string& name) const {
    return options_.only.empty() || std::ranges::count(options_.only, name) > 0;
  }
  void write(const std::string& name, const files::Tensors& tensors, files::Metadata metadata) {
    metadata["schema"] = "karat-capture/1";
    names_.push_back(name + ".safetensors");
    files::write_safetensors(folder_ / names_.back(), tensors, metadata);
  }

  fs::path folder_;
  EmulateOptions options_;
  std::vector<std::string> names_;
  std::size_t total_ = work();
  std::atomic<std::size_t> done_ = 0;
};

/// Quadratics through three points of each segment, in t = position within the segment.
QuadraticTable through_points(QuadraticTable table, double (*function)(double)) {
  const int count = 1 << table.segment_bits;
  constexpr double kLow = 0.067, kMiddle = 0.5, kHigh = 0.933;  // near Chebyshev's
  for (int i = 0; i < count; ++i) {
    const auto at = [&](double t) { return function((i + t) / count); };
    const double reach = kHigh - kMiddle;
    const double bend = (at(kLow) - 2 * at(kMiddle) + at(kHigh)) / (2 * reach * reach);
    const double slope = (at(kHigh) - at(kLow)) / (2 * reach) - 2 * bend * kMiddle;
    const double start = at(kMiddle) - slope * kMiddle - bend * kMiddle * kMiddle;
    // Half a unit of the result: the constant added before truncation.
    table.segments.push_back({std::llround(std::ldexp(start + 0x1p-24, table.f0)),
                              std::llround(std::ldexp(slope, table.f1)),
                              std::llround(std::ldexp(bend, table.f2))});
  }
  return table;
}

}  // namespace

QuadraticTable synthetic_ex2_table() {
  QuadraticTable table = through_points(
      {.segment_bits = 6, .square_dropped = 21, .f0 = 26, .f1 = 22, .f2 = 23, .segments = {}},
      numerics::exp2_f64);
  table.segments.front()[0] = std::int64_t{1} << table.f0;      // 2^0 is 1
  table.segments.back()[0] -= 1 << (table.f0 - kFractionBits);  // results stay below 2
  return table;
}

QuadraticTable synthetic_rcp_table() {
  QuadraticTable table = through_points(
      {.segment_bits = 7, .square_dropped = 19, .f0 = 26, .f1 = 23, .f2 = 23, .segments = {}},
      [](double x) { return 2 / (1 + x); });
  table.segments.front()[0] = std::int64_t{2} << table.f0;  // 1/1 is 1
  return table;
}

void emulate_capture(const fs::path& folder, const EmulateOptions& options) {
  files::make_folder(folder);
  Writer writer(folder, options);
  for (const std::string_view name : kInstructions) {
    writer.steps(name, false);
    if (has_chains(name)) writer.steps(name, true);
    writer.deciders(name);
  }
  writer.f16_conversion();
  writer.sweep(kConversion);
  writer.octave(kEx2, 1);
  writer.sweep(kEx2);
  writer.octave(kRcp, -1);
  writer.sweep(kRcp);
  writer.attention_kernel();
  writer.manifest();
}

}  // namespace karat::evidence
