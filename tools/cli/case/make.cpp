// karat make: a case becomes a golden file.
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>

#include "case/case_options.hpp"
#include "case/cell_case.hpp"
#include "command.hpp"
#include "interrupt.hpp"
#include "karat/golden/request.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

/// In the order of golden::Phase.
constexpr const char* kPhases[] = {"inputs",       "attention", "truth, sparse",
                                   "truth, dense", "backward",  "truth of gradients",
                                   "side by side"};

/// One bar after the other, a new one for each phase of each head.
class Bars {
 public:
  explicit Bars(Narration narration) : narration_(narration) {}
  void update(golden::Phase phase, std::size_t head, std::size_t heads, std::size_t done,
              std::size_t total) {
    const std::lock_guard lock(mutex_);
    const bool together = phase == golden::Phase::side_by_side;
    // Heads side by side begin behind each other's backs: their bar stays.
    if (phase == golden::Phase::inputs && bar_ && phase_ == golden::Phase::side_by_side)
      return throw_if_interrupted();
    if (!bar_ || phase != phase_ || head != head_) {
      bar_.reset();
      phase_ = phase;
      head_ = head;
      const std::string of =
          heads > 1 ? std::to_string(head + 1) + "/" + std::to_string(heads) + " " : std::string();
      bar_.emplace(together ? std::to_string(heads) + " heads " + kPhases[static_cast<int>(phase)]
                            : "head " + of + kPhases[static_cast<int>(phase)],
                   narration_);
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
  CommandLine line(
      "make",
      "Compute a case bit for bit, with --backward its gradients too, and write it as a "
      "golden file (HDF5).");
  add_case_options(line);
  add_cell_options(line);
  line.add({{"o,out", "the golden file"},
            {"tap", "query blocks whose inner stages are kept: all, none or a list; 8 by default"}},
           "Output");
  add_backward_taps(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const std::string out = required(*given, "out");
  const cases::TapWords taps = read_taps(*given, text_of(*given, "tap").value_or(""));
  NothingHalfWritten reading;
  const cases::CaseRequest asked = read_case(*given);
  if (asked.forward == cases::ForwardOrigin::given)
    throw Error(ErrorKind::usage, "--forward given",
                "a golden file holds forward and backward of one run",
                "leave it out, or compute gradients alone: karat attend --backward");
  const auto [of, schedule] = choose_case(*given, asked);
  reading.over();
  const cases::InputShape& shape = of.shape();
  const std::size_t heads = shape.batch * shape.heads;

  const Stopwatch watch;
  Bars bars(narration);
  const golden::MakeSummary summary = golden::make(
      of,
      {.seed = asked.workload.seed,
       .taps = taps.forward,
       .dq_taps = taps.dq,
       .dkv_taps = taps.dkv,
       .threads = asked.threads,
       .passes = asked.backward ? golden::Passes::forward_and_backward : golden::Passes::forward,
       .schedule = schedule,
       .progress = [&](golden::Phase phase, std::size_t head, std::size_t done,
                       std::size_t total) { bars.update(phase, head, heads, done, total); }},
      out);
  bars.clear();

  const double seconds = watch.seconds();
  const auto rate = [](double work, double time) { return short_number(work / time) + "MAC/s"; };
  say(narration, "wrote " + out + ": " + of.recipe.name + ", " + std::to_string(shape.batch) +
                     " x " + std::to_string(shape.heads) + " heads of " +
                     video::to_string(shape.grid) + " = " + std::to_string(shape.tokens()) +
                     " tokens x " + std::to_string(shape.channels));
  if (given->count("verbose") > 0) say_evidence(narration, of.recipe);
  say(narration, "attention " + short_number(summary.multiply_adds) + "MAC in " +
                     short_time(summary.attention_seconds) + " (" +
                     rate(summary.multiply_adds, summary.attention_seconds) + "), truth " +
                     short_number(summary.truth_multiply_adds) + "MAC in " +
                     short_time(summary.truth_seconds) + " (" +
                     rate(summary.truth_multiply_adds, summary.truth_seconds) + ")");
  if (asked.backward)
    say(narration, "backward " + short_number(summary.backward_multiply_adds) + "MAC in " +
                       short_time(summary.backward_seconds) + " (" +
                       rate(summary.backward_multiply_adds, summary.backward_seconds) + ")");
  if (summary.not_finite.any()) say(narration, summary.not_finite.told());
  say(narration, short_time(seconds) + " in all, peak memory " + short_number(peak_memory()) +
                     "B, sha256 " + summary.seal.sha256.substr(0, 16));
  if (given->count("json") > 0) {
    files::Json body = to_json(summary, out, of.recipe);
    body["seconds"] = seconds;
    body["peak_memory_bytes"] = peak_memory();
    print_json("make", 1, body);
  }
  return match;
}

}  // namespace karat::cli
