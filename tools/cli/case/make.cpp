// karat make: a case becomes a golden file.
#include "karat/golden/make.hpp"

#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "case/case_options.hpp"
#include "case/evidence.hpp"
#include "commands.hpp"
#include "interrupt.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

std::string_view phase_name(golden::Phase phase) {
  switch (phase) {
    case golden::Phase::inputs:
      return "inputs";
    case golden::Phase::attention:
      return "attention";
    case golden::Phase::truth_sparse:
      return "truth, sparse";
    case golden::Phase::truth_dense:
      break;
  }
  return "truth, dense";
}

/// One bar after the other, a new one for each phase of each head.
class Bars {
 public:
  explicit Bars(Narration narration) : narration_(narration) {}
  void update(golden::Phase phase, std::size_t head, std::size_t heads, std::size_t done,
              std::size_t total) {
    const std::lock_guard lock(mutex_);
    if (!bar_ || phase != phase_ || head != head_) {
      bar_.reset();
      phase_ = phase;
      head_ = head;
      const std::string of =
          heads > 1 ? std::to_string(head + 1) + "/" + std::to_string(heads) + " " : std::string();
      bar_.emplace("head " + of + std::string(phase_name(phase)), narration_);
    }
    bar_->update(done, total);
  }
  void clear() { bar_.reset(); }

 private:
  Narration narration_;
  std::mutex mutex_;
  golden::Phase phase_ = golden::Phase::inputs;
  std::size_t head_ = 0;
  std::optional<Progress> bar_;
};

}  // namespace

int run_make(int argc, char** argv) {
  CommandLine line("make", "Compute a case bit for bit and write it as a golden file (HDF5).");
  add_case_options(line);
  line.add("Output")("o,out", "the golden file", cxxopts::value<std::string>())(
      "tap", "query blocks whose inner stages are kept: all, none or a list; 8 by default",
      cxxopts::value<std::string>());
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const std::string out = required(*given, "out");
  NothingHalfWritten reading;
  const CaseChoice choice = choose_case(*given);
  reading.over();
  const cases::InputShape& shape = choice.of.shape();
  const std::size_t heads = shape.batch * shape.heads;

  const Stopwatch watch;
  Bars bars(narration);
  const golden::MakeSummary summary = golden::make(
      choice.of,
      {.seed = choice.seed,
       .taps = text_of(*given, "tap").value_or(""),
       .threads = choice.threads,
       .schedule = choice.schedule,
       .progress = [&](golden::Phase phase, std::size_t head, std::size_t done,
                       std::size_t total) { bars.update(phase, head, heads, done, total); }},
      out);
  bars.clear();

  const double seconds = watch.seconds();
  const auto rate = [](double work, double time) { return short_number(work / time) + "MAC/s"; };
  say(narration,
      "wrote " + out + ": " + choice.of.recipe.name + ", " + std::to_string(shape.batch) + " x " +
          std::to_string(shape.heads) + " heads of " + video::to_string(shape.grid) + " = " +
          std::to_string(shape.tokens()) + " tokens x " + std::to_string(shape.channels));
  say_evidence(narration, choice.of.recipe);
  say(narration, "attention " + short_number(summary.multiply_adds) + "MAC in " +
                     short_time(summary.attention_seconds) + " (" +
                     rate(summary.multiply_adds, summary.attention_seconds) + "), truth " +
                     short_number(summary.truth_multiply_adds) + "MAC in " +
                     short_time(summary.truth_seconds) + " (" +
                     rate(summary.truth_multiply_adds, summary.truth_seconds) + ")");
  say(narration, short_time(seconds) + " in all, peak memory " + short_number(peak_memory()) +
                     "B, sha256 " + summary.seal.sha256.substr(0, 16));
  if (given->count("json") > 0)
    print_json("make", 1,
               {{"file", out},
                {"sha256", summary.seal.sha256},
                {"bytes", summary.seal.bytes},
                {"heads", summary.heads},
                {"multiply_adds", summary.multiply_adds},
                {"attention_seconds", summary.attention_seconds},
                {"truth_multiply_adds", summary.truth_multiply_adds},
                {"truth_seconds", summary.truth_seconds},
                {"seconds", seconds},
                {"peak_memory_bytes", peak_memory()},
                {"saturated_p_codes", summary.saturated_p_codes},
                {"evidence", evidence_json(choice.of.recipe)}});
  return match;
}

}  // namespace karat::cli
