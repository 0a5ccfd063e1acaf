// Head by head: operands, engine with bounds, truth; arrays go to the file in the order of heads.
#include "karat/golden/make.hpp"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "file/case_writer.hpp"
#include "file/gradient_truth.hpp"
#include "file/truth_rows.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/groups.hpp"
#include "karat/case/side_by_side.hpp"
#include "karat/case/taps.hpp"

namespace karat::golden {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Said before the work: a golden file holds every code.
void require_storable(const recipe::Recipe& recipe) {
  const auto require = [](const char* field, const quant::Rule& rule) {
    if (cases::has_dtype(quant::entering_format(rule))) return;
    throw Error(
        ErrorKind::usage, std::string(field) + ".format",
        "a golden file has no type for codes of 4 bits (" +
            std::string(numerics::format(rule.format).name) + ")",
        "give " + std::string(field) + ".enters bf16, or compute the outputs alone: karat attend");
  };
  require("q", recipe.q);
  require("k", recipe.k);
  require("v", recipe.v);
  require("p", rule_of(recipe.p));
  if (!recipe.backward.exists()) return;
  require("backward.p", recipe.backward.p);
  require("backward.ds", recipe.backward.ds);
}

/// Bounds of o, l and lse, and both truths with what is encoded of them.
double bytes_beside(std::size_t truth_rows, const cases::InputShape& shape) {
  const auto channels = static_cast<double>(shape.channels);
  return channels *
         (8.0 * static_cast<double>(shape.tokens()) + 2.0 * 8.0 * static_cast<double>(truth_rows));
}

/// What of a head goes to the file: at once where heads follow each other, so that its memory is
/// free again; of heads side by side when its turn comes.
class Writing {
 public:
  explicit Writing(const cases::HeadAtWork& work) : waits_(work.at_once > 1) {}
  void add(std::function<void()> part) {
    if (waits_)
      parts_.push_back(std::move(part));
    else
      part();
  }
  cases::Delivery delivery() && {
    return [parts = std::move(parts_)] {
      for (const auto& part : parts) part();
    };
  }

 private:
  bool waits_;
  std::vector<std::function<void()>> parts_;
};

}  // namespace

MakeSummary make(const cases::Case& of, const MakeOptions& options,
                 const std::filesystem::path& destination) {
  require_storable(of.recipe);
  const cases::InputShape& shape = of.shape();
  const bool per_head = cases::layouts_of(of) == cases::Layouts::per_head;
  const std::vector<std::int32_t> rows = truth_rows(shape.tokens(), options.seed);
  const auto steps = [&](Phase phase, std::size_t number) {
    return [&options, phase, number](std::size_t done, std::size_t total) {
      if (options.progress) options.progress(phase, number, done, total);
    };
  };
  const bool with_backward = options.passes == Passes::forward_and_backward;
  const cases::TapWords tap_words{options.taps, options.dq_taps, options.dkv_taps};
  MakeSummary summary{.heads = shape.batch * shape.heads};
  cases::BackwardTaps backward_taps;
  files::Hdf5Writer file(destination, std::string(kSchema));  // its child: before any thread
  std::optional<CaseWriter> writer;
  cases::Together together(summary.heads, steps(Phase::side_by_side, 0));
  const auto begin = [&](std::size_t number) { steps(Phase::inputs, number)(0, 1); };
  const auto forward = [&](cases::HeadAtWork& work, Writing& writing) -> cases::GivenOutputs {
    const layout::Layout& layout = work.layout;
    const bool alone = work.at_once == 1;
    const auto part = [&](Phase phase, std::size_t number) -> bounds::Steps {
      if (alone) return steps(phase, work.number);
      return together.steps(work.number, number, 3);
    };
    const auto spent = [&summary, &work](double MakeSummary::*seconds, Clock::time_point began) {
      return [&summary, seconds, share = seconds_since(began) / work.at_once] {
        summary.*seconds += share;
      };
    };
    const std::vector<int> taps = cases::parse_taps(options.taps, layout, options.seed);
    if (with_backward && (per_head || !writer))
      backward_taps = cases::parse_backward_taps(
          tap_words, attention::backward_blocks(of.recipe, layout), options.seed);
    writing.add([&, taps] {
      if (!writer) writer.emplace(file, of, layout, options, taps, rows);
      if (per_head) writer->layout(work.batch, work.head, layout, taps);
      if (!of.inputs->coded()) writer->inputs(work.batch, work.head, work.values);
      writer->operands(work.batch, work.head, work.operands);
      summary.multiply_adds += layout.multiply_adds();
    });
    cases::GivenOutputs outputs;
    {
      const auto result = std::make_shared<bounds::BoundedResult>(bounds::attend_with_bounds(
          of.recipe, layout, work.operands, taps, work.threads, part(Phase::attention, 0)));
      writing.add([&, result] {
        writer->result(work.batch, work.head, *result);
        summary.saturated_p_codes += result->golden.saturated_p_codes;
      });
      if (with_backward)
        outputs = {.o = std::move(result->golden.o), .lse = std::move(result->golden.lse)};
    }
    writing.add(spent(&MakeSummary::attention_seconds, work.began));
    if (alone && !with_backward) work.operands = {};

    const Clock::time_point truth_began = Clock::now();
    for (const auto mask : {attention::OracleMask::sparse, attention::OracleMask::dense}) {
      const bool sparse = mask == attention::OracleMask::sparse;
      const Phase phase = sparse ? Phase::truth_sparse : Phase::truth_dense;
      const auto truth = std::make_shared<attention::OracleResult>(attention::oracle(
          layout, work.values, rows, mask, work.threads, part(phase, sparse ? 1 : 2)));
      const double share = sparse ? static_cast<double>(layout.mask->kept_pairs()) /
                                        static_cast<double>(shape.tokens() * shape.tokens())
                                  : 1.0;
      writing.add([&, truth, mask, share] {
        writer->truth(work.batch, work.head, mask, *truth);
        summary.truth_multiply_adds += 2.0 * share * static_cast<double>(rows.size()) *
                                       static_cast<double>(shape.tokens() * shape.channels);
      });
    }
    writing.add(spent(&MakeSummary::truth_seconds, truth_began));
    return outputs;
  };
  const auto backward = [&](cases::GroupAtWork& group) {
    const std::vector<cases::BackwardRun::Head>& heads = group.backward.heads();
    for (std::size_t i = 0; i < heads.size(); ++i)
      writer->output_gradient(group.batch, group.kv_head * heads.size() + i, heads[i]);

    Clock::time_point started = Clock::now();
    const auto gradients =
        group.backward.run(group.layout, {.threads = options.threads,
                                          .tapped_queries = backward_taps.queries,
                                          .tapped_keys = backward_taps.keys,
                                          .progress = steps(Phase::backward, group.number)});
    writer->gradients(group.batch, group.kv_head, gradients);
    summary.backward_seconds += seconds_since(started);
    summary.backward_multiply_adds +=
        cases::kBackwardWork * static_cast<double>(heads.size()) * group.layout.multiply_adds();
    summary.saturated_ds_codes += gradients.saturated_ds_codes;
    summary.not_finite.count(gradients);

    started = Clock::now();
    std::size_t done = 0;
    for (const auto mask : {attention::OracleMask::sparse, attention::OracleMask::dense}) {
      steps(Phase::gradient_truth, group.number)(done++, 2);
      writer->gradient_truth(
          group.batch, group.kv_head, mask,
          gradient_truth(group.layout, heads, writer->gradient_rows(), mask, options.threads));
    }
    summary.truth_seconds += seconds_since(started);
  };
  if (with_backward)
    cases::for_each_group(of,
                          {.threads = options.threads,
                           .begin = begin,
                           .forward =
                               [&](cases::HeadAtWork& work) {
                                 Writing writing(work);
                                 return forward(work, writing);
                               }},
                          backward);
  else
    cases::compute_heads(
        of,
        {.threads = options.threads,
         .needs = cases::HeadNeeds::both,
         .begin = begin,
         .visit_bytes = cases::tap_bytes(of, options.taps) + bytes_beside(rows.size(), shape)},
        [&](cases::HeadAtWork& work) {
          Writing writing(work);
          forward(work, writing);
          return std::move(writing).delivery();
        });
  summary.seal = file.commit();
  return summary;
}

}  // namespace karat::golden
