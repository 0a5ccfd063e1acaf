// karat attend: the outputs of a recipe as safetensors.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "case/case_options.hpp"
#include "command.hpp"
#include "interrupt.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/stages.hpp"
#include "karat/case/taps.hpp"
#include "karat/files/safetensors.hpp"
#include "terminal.hpp"

namespace karat::cli {

int run_attend(int argc, char** argv) {
  CommandLine line("attend", "Compute a recipe's outputs o and lse and write them as safetensors.");
  add_case_options(line);
  line.add({{"o,out", "the safetensors file: o, lse, m, l [B,H,S,...]"},
            {"tap", "also tap.B.H.BLOCK.STAGE of these query blocks: all, none or a list",
             Takes::text, "none"}},
           "Output");
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = cli::narration(*given);
  const std::string out = required(*given, "out");
  NothingHalfWritten computing;
  const cases::CaseRequest asked = read_case(*given);
  const cases::Case of = cases::choose_case(asked).of;
  const recipe::Recipe& recipe = of.recipe;
  const cases::InputShape& shape = of.shape();
  const std::string tapped = (*given)["tap"].as<std::string>();

  const Stopwatch watch;
  files::Tensors tensors;
  double work = 0;
  const cases::HeadLoop loop{.threads = asked.threads,
                             .begin = [](std::size_t) { throw_if_interrupted(); }};
  cases::for_each_head(of, loop, [&](const cases::HeadAtWork& head) {
    work += head.layout.multiply_adds();
    Progress bar(
        "head " + std::to_string(head.number + 1) + "/" + std::to_string(shape.batch * shape.heads),
        narration, head.layout.multiply_adds(), "MAC");
    const attention::HeadResult result =
        attention::attend(recipe, head.layout, head.operands,
                          {.threads = asked.threads,
                           .tapped = cases::parse_taps(tapped, head.layout, asked.workload.seed),
                           .progress = bar.callback()});
    const auto append = [&](const char* name, const std::vector<float>& values,
                            numerics::FormatId format, files::Shape of_head) {
      cases::append_head(tensors, name, shape.batch, shape.heads,
                         cases::encoded(values, format, std::move(of_head)));
    };
    append("o", result.o, attention::output_format(recipe), {shape.tokens(), shape.channels});
    append("lse", result.lse, numerics::FormatId::f32, {shape.tokens()});
    append("m", result.m, numerics::FormatId::f32, {shape.tokens()});
    append("l", result.l, numerics::FormatId::f32, {shape.tokens()});
    for (const attention::BlockTap& tap : result.taps)
      for (auto& [name, tensor] : cases::tap_tensors(recipe, head.layout, tap))
        tensors[cases::tap_name(head.batch, head.head, tap.query_block, name)] = std::move(tensor);
  });
  computing.over();
  files::write_safetensors(out, tensors, cases::describe(recipe, shape.grid, shape.text));

  const double seconds = watch.seconds();
  say(narration, "wrote " + out + ": " + short_number(work) + "MAC in " + short_time(seconds) +
                     " (" + short_number(work / seconds) + "MAC/s), peak memory " +
                     short_number(peak_memory()) + "B");
  say_evidence(narration, recipe);
  if (given->count("json") > 0)
    print_json("attend", 1,
               {{"file", out},
                {"multiply_adds", work},
                {"seconds", seconds},
                {"peak_memory_bytes", peak_memory()},
                {"evidence", evidence_json(recipe)}});
  return match;
}

}  // namespace karat::cli
