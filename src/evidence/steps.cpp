// Random tiles, chains and explicit rows of tensor-core instructions against the emulator.
#include <algorithm>
#include <set>

#include "comparison.hpp"
#include "karat/evidence/deciders.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/tensor_core/step.hpp"
#include "models.hpp"

namespace karat::evidence {
namespace {

/// Longer chains or more tiles than these are a damaged file rather than a capture.
constexpr std::uint32_t kMostSteps = 1u << 12;
constexpr std::uint64_t kMostTiles = 1u << 16;  ///< over all lengths of a chain

constexpr auto kAbsent = "the emulator has no such instruction: nothing compared";

std::size_t at(int line, int lines, std::uint32_t tile, int column) {
  return (std::size_t{tile} * static_cast<std::size_t>(lines) + static_cast<std::size_t>(line)) *
             kTileColumns +
         static_cast<std::size_t>(column);
}

std::string chain_name(std::uint32_t length) {
  return length == 1 ? "single steps of a chain" : "chains of " + std::to_string(length);
}

}  // namespace

std::uint32_t StepModel::code(std::uint32_t operand_word) const {
  return operand_word >> (word.bits - numerics::format(instruction->input).bits);
}

std::vector<std::uint32_t> StepModel::codes(std::span<const std::uint32_t> operand_words) const {
  std::vector<std::uint32_t> result;
  for (const std::uint32_t x : operand_words) result.push_back(code(x));
  return result;
}

CaseOperands case_operands(const StepModel& model, const SeededTiles& source,
                           std::uint32_t number) {
  const std::uint32_t tile = number / kTileCases;
  const int row = static_cast<int>(number % kTileCases) / kTileColumns;
  const int column = static_cast<int>(number % kTileColumns);
  CaseOperands operands;
  for (int e = 0; e < model.k; ++e) {
    operands.a.push_back(source.a(model.word, tile, 0, row, e));
    operands.b.push_back(source.b(model.word, tile, 0, column, e));
  }
  operands.c = source.c(numerics::format(model.instruction->accumulator), tile, row, column);
  return operands;
}

std::optional<StepModel> step_model(const std::string& instruction) {
  for (const numerics::Instruction& row : numerics::instructions()) {
    if (row.name != instruction) continue;
    const numerics::FormatId word =
        row.input == numerics::FormatId::tf32 ? numerics::FormatId::f32 : row.input;
    return StepModel{&row, numerics::format(word), row.k};
  }
  return std::nullopt;
}

std::vector<std::vector<std::uint32_t>> run_tiles(const StepModel& model, const SeededTiles& source,
                                                  std::uint32_t tiles,
                                                  const std::vector<std::uint32_t>& lengths,
                                                  int threads,
                                                  const std::function<void()>& stepped) {
  const numerics::Instruction& instruction = *model.instruction;
  const numerics::Format accumulator = numerics::format(instruction.accumulator);
  const auto k = static_cast<std::size_t>(model.k);
  std::vector<std::vector<std::uint32_t>> d(lengths.size());
  for (auto& words : d) words.resize(std::size_t{tiles} * kTileCases);
  numerics::parallel_for(tiles, threads, [&](std::size_t item, int) {
    const auto tile = static_cast<std::uint32_t>(item);
    std::vector<std::uint32_t> c(kTileCases);
    for (int row = 0; row < kTileRows; ++row)
      for (int column = 0; column < kTileColumns; ++column)
        c[at(row, kTileRows, 0, column)] = source.c(accumulator, tile, row, column);
    std::vector<numerics::Factor> a(kTileRows * k), b(kTileColumns * k);
    std::uint32_t step = 0;
    for (std::size_t l = 0; l < lengths.size(); ++l) {
      for (; step < lengths[l]; ++step) {
        for (std::size_t i = 0; i < a.size(); ++i)
          a[i] = numerics::row_factor(
              instruction, model.code(source.a(model.word, tile, step, static_cast<int>(i / k),
                                               static_cast<int>(i % k))));
        for (std::size_t i = 0; i < b.size(); ++i)
          b[i] = numerics::column_factor(
              instruction, model.code(source.b(model.word, tile, step, static_cast<int>(i / k),
                                               static_cast<int>(i % k))));
        for (std::size_t i = 0; i < c.size(); ++i)
          c[i] =
              numerics::instruction_step(instruction, std::span(a).subspan(i / kTileColumns * k, k),
                                         std::span(b).subspan(i % kTileColumns * k, k), c[i]);
        if (stepped) stepped();
      }
      std::copy(c.begin(), c.end(), d[l].begin() + static_cast<std::ptrdiff_t>(item * kTileCases));
    }
  });
  return d;
}

std::vector<std::uint64_t> tile_hashes(const std::vector<std::uint32_t>& d) {
  std::vector<std::uint64_t> hashes(d.size() / kTileCases);
  for (std::size_t i = 0; i < d.size(); ++i)
    hashes[i / kTileCases] += fingerprint(static_cast<std::uint32_t>(i), d[i]);
  return hashes;
}

std::vector<Compared> compare_steps(const CaptureReader& file, Context& context) {
  const std::string name = file.text("instruction");
  const std::optional<StepModel> model = step_model(name);
  if (!model) return {{name, {.file = file.name(), .what = "steps"}, kAbsent}};
  const std::vector<std::uint32_t> lengths = file.words("lengths");
  const bool chained = file.text("program") == "chains";
  const std::uint64_t tiles = file.number("tiles");
  if (lengths.empty() || !std::is_sorted(lengths.begin(), lengths.end()) || lengths.front() < 1 ||
      lengths.back() > kMostSteps)
    file.fail("lengths", "are not ascending numbers of instructions");
  if (tiles == 0 || tiles > kMostTiles || tiles * lengths.size() > kMostTiles)
    file.fail("tiles", std::to_string(tiles) + " tiles are absurd");
  const std::vector<std::uint32_t> cases = file.words("case");
  const std::vector<std::uint32_t> sample = file.words("d", lengths.size() * cases.size());
  const std::vector<std::uint64_t> hashes = file.hashes("hashes", lengths.size() * tiles);
  for (const std::uint32_t number : cases)
    if (number >= tiles * kTileCases) file.fail("case", std::to_string(number) + " does not exist");
  const SeededTiles source{file.number("seed"), model->k, chained};
  if (file.has("a")) {
    // The sample's own operands: seeds are worth nothing if the two generators disagree.
    const auto k = static_cast<std::size_t>(model->k);
    const auto a = file.words("a", cases.size() * k), b = file.words("b", cases.size() * k);
    const auto c = file.words("c", cases.size());
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const CaseOperands operands = case_operands(*model, source, cases[i]);
      const auto first = static_cast<std::ptrdiff_t>(i * k);
      if (!std::equal(operands.a.begin(), operands.a.end(), a.begin() + first) ||
          !std::equal(operands.b.begin(), operands.b.end(), b.begin() + first) ||
          operands.c != c[i])
        file.fail("case " + std::to_string(cases[i]),
                  "its operands are not those of seed " + file.text("seed"));
    }
  }

  const auto d =
      run_tiles(*model, source, static_cast<std::uint32_t>(tiles), lengths, context.threads);
  std::vector<Compared> result;
  for (std::size_t l = 0; l < lengths.size(); ++l) {
    Part part{.file = file.name(),
              .what = chained ? chain_name(lengths[l]) : "random bits",
              .rows = tiles * kTileCases};
    const std::vector<std::uint64_t> expected = tile_hashes(d[l]);
    std::optional<std::size_t> first_tile;
    for (std::size_t t = 0; t < tiles; ++t) {
      if (hashes[l * tiles + t] == expected[t])
        part.equal += kTileCases;
      else if (!first_tile)
        first_tile = t;
    }
    std::vector<DifferingRow> rows;
    std::set<std::uint32_t> beside_hash;  // samples that contradict their own tile's hash
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const std::uint32_t captured = sample[l * cases.size() + i], emulated = d[l][cases[i]];
      if (captured == emulated) continue;
      DifferingRow row{.place = "case " + std::to_string(cases[i])};
      if (!chained) {
        const CaseOperands operands = case_operands(*model, source, cases[i]);
        row.a = model->codes(operands.a);
        row.b = model->codes(operands.b);
        row.c = operands.c;
      }
      row.captured = captured;
      row.emulated = emulated;
      rows.push_back(std::move(row));
      const std::size_t tile = cases[i] / kTileCases;
      if (hashes[l * tiles + tile] == expected[tile]) beside_hash.insert(cases[i]);
    }
    part.equal -= beside_hash.size();
    if (!rows.empty())
      part.difference = explain(*model->instruction, rows);
    else if (first_tile)
      part.difference = "tile " + std::to_string(*first_tile) + ", cases " +
                        std::to_string(*first_tile * kTileCases) +
                        " on: its hash differs, none of "
                        "its cases is in the sample, all " +
                        std::to_string(kTileCases) + " count as unequal";
    result.push_back({name, std::move(part), ""});
  }
  return result;
}

std::vector<Compared> compare_rows(const CaptureReader& file, Context&) {
  const std::string name = file.text("instruction");
  const std::optional<StepModel> model = step_model(name);
  if (!model) return {{name, {.file = file.name(), .what = "deciders"}, kAbsent}};
  const std::vector<std::uint32_t> d = file.words("d");
  const auto k = static_cast<std::size_t>(model->k);
  const auto a = file.words("a", d.size() * k), b = file.words("b", d.size() * k);
  const auto c = file.words("c", d.size());
  Part part{.file = file.name(), .what = "deciders", .rows = d.size()};
  std::vector<DifferingRow> rows;
  for (std::size_t i = 0; i < d.size(); ++i) {
    DifferingRow row{.place = "row " + std::to_string(i),
                     .a = model->codes(std::span(a).subspan(i * k, k)),
                     .b = model->codes(std::span(b).subspan(i * k, k)),
                     .c = c[i],
                     .captured = d[i]};
    row.emulated = numerics::step_bits(*model->instruction, row.a, row.b, row.c);
    if (row.emulated == row.captured) {
      ++part.equal;
      continue;
    }
    for (const Decider& decider : kDeciders) {
      if (decider.instruction != name) continue;
      const DeciderOperands o = operands(decider, model->word.bits, model->k);
      if (model->codes(o.a) == row.a && model->codes(o.b) == row.b && o.c == row.c)
        row.place += ", \"" + std::string(decider.question) + "\"";
    }
    rows.push_back(std::move(row));
  }
  part.difference = explain(*model->instruction, rows);
  return {{name, std::move(part), ""}};
}

}  // namespace karat::evidence
