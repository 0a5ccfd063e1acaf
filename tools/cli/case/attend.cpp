// karat attend: the outputs of a recipe as safetensors.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "case/case_options.hpp"
#include "case/skip_lists.hpp"
#include "command.hpp"
#include "interrupt.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/groups.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/stages.hpp"
#include "karat/case/taps.hpp"
#include "karat/files/safetensors.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

/// Gradients of one group of query heads, under the names of docs/golden.md.
void append_gradients(files::Tensors& tensors, const cases::Case& of,
                      const attention::BackwardResult& result) {
  const cases::InputShape& shape = of.shape();
  const numerics::FormatId format = of.recipe.backward.output;
  const auto append = [&](const char* name, std::size_t heads, const std::vector<float>& values,
                          numerics::FormatId stored, files::Shape of_head) {
    cases::append_head(tensors, name, shape.batch, heads,
                       cases::encoded(values, stored, std::move(of_head)));
  };
  const files::Shape matrix{shape.tokens(), shape.channels};
  for (std::size_t h = 0; h < result.dq.size(); ++h) {
    append("dq", shape.heads, result.dq[h], format, matrix);
    append("delta", shape.heads, result.delta[h], numerics::FormatId::f32, {shape.tokens()});
  }
  append("dk", shape.heads / shape.group(), result.dk, format, matrix);
  append("dv", shape.heads / shape.group(), result.dv, format, matrix);
}

}  // namespace

int run_attend(int argc, char** argv) {
  CommandLine line("attend",
                   "Compute a recipe's outputs o and lse, or its gradients too, and write them as "
                   "safetensors.");
  add_case_options(line);
  line.add({{"o,out",
             "the safetensors file: o, lse, m, l [B,H,S,...] and branch where there is one; with "
             "--backward delta, dq, dk, dv"},
            {"tap", "also tap.B.H.BLOCK.STAGE of these query blocks: all, none or a list",
             Takes::text, "none"}},
           "Output");
  add_skip_lists(line);
  add_backward_taps(line);
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const std::string out = required(*given, "out");
  NothingHalfWritten computing;
  const cases::CaseRequest asked = read_case(*given);
  const cases::Case of = cases::choose_case(asked).of;
  const recipe::Recipe& recipe = of.recipe;
  const cases::InputShape& shape = of.shape();
  const cases::TapWords taps = read_taps(*given, (*given)["tap"].as<std::string>());
  const SkipListFiles lists = read_skip_lists(*given);
  if (lists.next) cases::require_listable(recipe, "--skip-lists");
  cases::require_standing(recipe, of.inputs->setting(), lists.standing,
                          {.batch = shape.batch, .heads = shape.heads});
  VisitCount visits;
  files::Tensors next;

  const Stopwatch watch;
  files::Tensors tensors;
  double work = 0;
  const auto begin = [](std::size_t) { throw_if_interrupted(); };
  const auto number_of = [&](std::size_t number) {
    return std::to_string(number + 1) + "/" + std::to_string(shape.batch * shape.heads);
  };
  const auto forward = [&](cases::HeadAtWork& head) -> cases::GivenOutputs {
    work += head.layout.multiply_adds();
    attention::HeadResult result;
    {
      Progress bar("head " + number_of(head.number), narration, head.layout.multiply_adds(), "MAC");
      result = attention::attend(
          recipe, head.layout, head.operands,
          {.threads = asked.threads,
           .tapped = cases::parse_taps(taps.forward, head.layout, asked.workload.seed),
           .progress = bar.callback()});
    }
    const auto append = [&](const char* name, const std::vector<float>& values,
                            numerics::FormatId format, files::Shape of_head) {
      cases::append_head(tensors, name, shape.batch, shape.heads,
                         cases::encoded(values, format, std::move(of_head)));
    };
    append("o", result.o, attention::output_format(recipe), {shape.tokens(), shape.channels});
    if (!head.operands.branch.empty())
      append("branch", head.operands.branch, recipe.branch.format,
             {shape.tokens(), shape.channels});
    append("lse", result.lse, numerics::FormatId::f32, {shape.tokens()});
    append("m", result.m, numerics::FormatId::f32, {shape.tokens()});
    append("l", result.l, numerics::FormatId::f32, {shape.tokens()});
    visits.count(head.layout, result);
    if (lists.next)
      cases::append_head(
          next, "mask_id", shape.batch, shape.heads,
          cases::tile_tensor(cases::next_tiles(recipe, of.inputs->setting(), head.layout, &result,
                                               lists.standing, head.batch, head.head)));
    for (const attention::BlockTap& tap : result.taps)
      for (auto& [name, tensor] : cases::tap_tensors(recipe, head.layout, tap))
        tensors[cases::tap_name(head.batch, head.head, tap.query_block, name)] = std::move(tensor);
    return {.o = std::move(result.o), .lse = std::move(result.lse)};
  };
  cases::GivenAgainstOwn given_against_own;
  cases::NotFinite not_finite;
  const auto backward = [&](cases::GroupAtWork& group) {
    const double products =
        cases::kBackwardWork * static_cast<double>(shape.group()) * group.layout.multiply_adds();
    work += products;
    const cases::BackwardTaps tapped = cases::parse_backward_taps(
        taps, attention::backward_blocks(recipe, group.layout), asked.workload.seed);
    Progress bar("head " + number_of(group.number) + " backward", narration, products, "MAC");
    const attention::BackwardResult result =
        group.backward.run(group.layout, {.threads = asked.threads,
                                          .tapped_queries = tapped.queries,
                                          .tapped_keys = tapped.keys,
                                          .progress = bar.callback()});
    not_finite.count(result);
    append_gradients(tensors, of, result);
    cases::add_backward_taps(
        tensors, recipe, group.layout,
        {.batch = group.batch, .kv_head = group.kv_head, .group = shape.group()}, result);
  };
  if (asked.backward)
    cases::for_each_group(of,
                          {.threads = asked.threads,
                           .begin = begin,
                           .forward = forward,
                           .against_own = &given_against_own},
                          backward);
  else
    cases::for_each_head(of, {.threads = asked.threads, .begin = begin}, forward);
  computing.over();
  files::write_safetensors(out, tensors, cases::describe(recipe, shape.grid, shape.text));
  if (lists.next) write_skip_lists(*lists.next, std::move(next), recipe);

  const double seconds = watch.seconds();
  say(narration, "wrote " + out + ": " + short_number(work) + "MAC in " + short_time(seconds) +
                     " (" + short_number(work / seconds) + "MAC/s), peak memory " +
                     short_number(peak_memory()) + "B");
  if (given->count("verbose") > 0) say_evidence(narration, recipe);
  const bool skips = recipe.skip.rule != recipe::SkipRule::never;
  if (skips) say(narration, visits.told(recipe));
  const bool outputs_given = of.inputs->gives_outputs();
  if (outputs_given) say(narration, given_against_own.told(recipe));
  if (not_finite.any()) say(narration, not_finite.told());
  if (given->count("json") > 0) {
    files::Json body{{"file", out},
                     {"multiply_adds", work},
                     {"seconds", seconds},
                     {"peak_memory_bytes", peak_memory()},
                     {"evidence", evidence_json(recipe)}};
    if (skips) body["skip"] = visits.json();
    if (asked.backward) body["not_finite"] = to_json(not_finite);
    if (outputs_given) body["given_forward"] = to_json(given_against_own);
    print_json("attend", 1, body);
  }
  return match;
}

}  // namespace karat::cli
