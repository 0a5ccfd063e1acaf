// karat attend: the outputs of a recipe as safetensors.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "case/case_options.hpp"
#include "case/skip_lists.hpp"
#include "command.hpp"
#include "interrupt.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/groups.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/side_by_side.hpp"
#include "karat/case/stages.hpp"
#include "karat/case/taps.hpp"
#include "karat/files/safetensors.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

/// Of one head, as they are written.
struct HeadTensors {
  files::Tensors outputs;  ///< under the names of the file, heads one after the other
  files::Tensors taps;     ///< under names of their own
  files::Tensor next;      ///< mask_id of the next step; empty unless asked for
};

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
  // Heads side by side share one bar; a head on all threads has its own.
  Progress all_heads(std::to_string(shape.batch * shape.heads) + " heads", narration);
  cases::Together together(shape.batch * shape.heads, all_heads.callback());
  const auto computed = [&](const cases::HeadAtWork& head) {
    const bool alone = head.at_once == 1;
    std::optional<Progress> bar;
    if (alone)
      bar.emplace("head " + number_of(head.number), narration, head.layout.multiply_adds(), "MAC");
    return attention::attend(
        recipe, head.layout, head.operands,
        {.threads = head.threads,
         .tapped = cases::parse_taps(taps.forward, head.layout, asked.workload.seed),
         .progress = alone ? bar->callback() : together.steps(head.number)});
  };
  const auto encoded = [&](const cases::HeadAtWork& head, attention::HeadResult& result) {
    HeadTensors made;
    const files::Shape rows{shape.tokens()}, matrix{shape.tokens(), shape.channels};
    made.outputs["o"] = cases::encoded(result.o, attention::output_format(recipe), matrix);
    if (!head.operands.branch.empty())
      made.outputs["branch"] = cases::encoded(head.operands.branch, recipe.branch.format, matrix);
    made.outputs["lse"] = cases::encoded(result.lse, numerics::FormatId::f32, rows);
    made.outputs["m"] = cases::encoded(result.m, numerics::FormatId::f32, rows);
    made.outputs["l"] = cases::encoded(result.l, numerics::FormatId::f32, rows);
    if (lists.next)
      made.next =
          cases::tile_tensor(cases::next_tiles(recipe, of.inputs->setting(), head.layout, &result,
                                               lists.standing, head.batch, head.head));
    for (const attention::BlockTap& tap : result.taps)
      for (auto& [name, tensor] : cases::tap_tensors(recipe, head.layout, tap))
        made.taps[cases::tap_name(head.batch, head.head, tap.query_block, name)] =
            std::move(tensor);
    result.taps.clear();
    return made;
  };
  const auto append = [&](const cases::HeadAtWork& head, const attention::HeadResult& result,
                          HeadTensors&& made) {
    work += head.layout.multiply_adds();
    visits.count(head.layout, result);
    for (const auto& [name, tensor] : made.outputs)
      cases::append_head(tensors, name, shape.batch, shape.heads, tensor);
    if (lists.next) cases::append_head(next, "mask_id", shape.batch, shape.heads, made.next);
    tensors.merge(std::move(made.taps));
  };
  const auto forward = [&](cases::HeadAtWork& head) -> cases::GivenOutputs {
    attention::HeadResult result = computed(head);
    append(head, result, encoded(head, result));
    return {.o = std::move(result.o), .lse = std::move(result.lse)};
  };
  const auto visit = [&](cases::HeadAtWork& head) -> cases::Delivery {
    const auto result = std::make_shared<attention::HeadResult>(computed(head));
    const auto made = std::make_shared<HeadTensors>(encoded(head, *result));
    return [&head, &append, result, made] { append(head, *result, std::move(*made)); };
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
    cases::compute_heads(of,
                         {.threads = asked.threads,
                          .begin = begin,
                          .visit_bytes = cases::tap_bytes(of, taps.forward)},
                         visit);
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
