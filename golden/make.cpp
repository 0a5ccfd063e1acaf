// Head by head: operands, engine with bounds, truth; every array goes to the file at once.
#include "karat/golden/make.hpp"

#include <chrono>
#include <optional>

#include "file/case_writer.hpp"
#include "file/gradient_truth.hpp"
#include "file/truth_rows.hpp"
#include "karat/bounds/head_work.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/groups.hpp"
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
  std::vector<int> taps;
  cases::BackwardTaps backward_taps;
  std::optional<CaseWriter> writer;
  Clock::time_point started;
  const auto begin = [&](std::size_t number) {
    steps(Phase::inputs, number)(0, 1);
    started = Clock::now();
  };
  const auto forward = [&](cases::HeadAtWork& work) -> cases::GivenOutputs {
    const auto [b, h] = std::pair(work.batch, work.head);
    const layout::Layout& layout = work.layout;
    if (per_head || !writer) {
      taps = cases::parse_taps(options.taps, layout, options.seed);
      if (with_backward)
        backward_taps = cases::parse_backward_taps(
            tap_words, attention::backward_blocks(of.recipe, layout), options.seed);
    }
    if (!writer) writer.emplace(destination, of, layout, options, taps, rows);
    if (per_head) writer->layout(b, h, layout, taps);
    if (!of.inputs->coded()) writer->inputs(b, h, work.values);
    writer->operands(b, h, work.operands);
    cases::GivenOutputs outputs;
    {
      bounds::BoundedResult result =
          bounds::attend_with_bounds(of.recipe, layout, work.operands, taps, options.threads,
                                     steps(Phase::attention, work.number));
      writer->result(b, h, result);
      summary.saturated_p_codes += result.golden.saturated_p_codes;
      outputs = {.o = std::move(result.golden.o), .lse = std::move(result.golden.lse)};
    }
    summary.attention_seconds += seconds_since(started);
    summary.multiply_adds += layout.multiply_adds();
    if (!with_backward) work.operands = {};

    started = Clock::now();
    for (const auto mask : {attention::OracleMask::sparse, attention::OracleMask::dense}) {
      const bool sparse = mask == attention::OracleMask::sparse;
      const Phase phase = sparse ? Phase::truth_sparse : Phase::truth_dense;
      writer->truth(b, h, mask,
                    attention::oracle(layout, work.values, rows, mask, options.threads,
                                      steps(phase, work.number)));
      const double share = sparse ? static_cast<double>(layout.mask->kept_pairs()) /
                                        static_cast<double>(shape.tokens() * shape.tokens())
                                  : 1.0;
      summary.truth_multiply_adds += 2.0 * share * static_cast<double>(rows.size()) *
                                     static_cast<double>(shape.tokens() * shape.channels);
    }
    summary.truth_seconds += seconds_since(started);
    return outputs;
  };
  const auto backward = [&](cases::GroupAtWork& group) {
    const std::vector<cases::BackwardRun::Head>& heads = group.backward.heads();
    for (std::size_t i = 0; i < heads.size(); ++i)
      writer->output_gradient(group.batch, group.kv_head * heads.size() + i, heads[i]);

    started = Clock::now();
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
    cases::for_each_group(of, {.threads = options.threads, .begin = begin, .forward = forward},
                          backward);
  else
    cases::for_each_head(
        of, {.threads = options.threads, .needs = cases::HeadNeeds::both, .begin = begin}, forward);
  summary.seal = writer->commit();
  return summary;
}

}  // namespace karat::golden
