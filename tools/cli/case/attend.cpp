// karat attend: the outputs of a recipe as safetensors.
#include "karat/attention/attend.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "case/case_options.hpp"
#include "case/evidence.hpp"
#include "commands.hpp"
#include "interrupt.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/metadata.hpp"
#include "karat/files/safetensors.hpp"
#include "karat/golden/export.hpp"
#include "karat/golden/taps.hpp"
#include "terminal.hpp"

namespace karat::cli {
namespace {

/// Appends one head to a tensor [B,H,...]; heads come in order.
void append(files::Tensor& all, const files::Tensor& head) {
  all.bytes.insert(all.bytes.end(), head.bytes.begin(), head.bytes.end());
}

files::Tensor empty_heads(numerics::FormatId format, const cases::InputShape& shape,
                          std::size_t channels) {
  files::Tensor tensor{.dtype = cases::dtype_of(format),
                       .shape = {shape.batch, shape.heads, shape.tokens()},
                       .bytes = {}};
  if (channels > 0) tensor.shape.push_back(channels);
  return tensor;
}

}  // namespace

int run_attend(int argc, char** argv) {
  CommandLine line("attend", "Compute a recipe's outputs o and lse and write them as safetensors.");
  add_case_options(line);
  line.add("Output")("o,out", "the safetensors file: o, lse, m, l [B,H,S,...]",
                     cxxopts::value<std::string>())(
      "tap", "also tap.B.H.BLOCK.STAGE of these query blocks: all, none or a list",
      cxxopts::value<std::string>()->default_value("none"));
  const auto given = line.parse(argc, argv);
  if (!given) return match;
  const Narration narration = given->count("quiet") > 0 ? Narration::quiet : Narration::spoken;
  const std::string out = required(*given, "out");
  const CaseChoice choice = choose_case(*given);
  const cases::InputShape& shape = choice.inputs->shape();
  const bool per_head = cases::layout_per_head(choice.recipe, *choice.inputs);
  layout::Layout layout;
  std::vector<int> taps;
  const auto begin_with = [&](layout::Layout made) {
    layout = std::move(made);
    taps = golden::parse_taps((*given)["tap"].as<std::string>(), layout, choice.seed);
  };
  const auto begin_head = [&](std::size_t b, std::size_t h, const cases::HeadValues* values) {
    begin_with(cases::head_layout(choice.recipe, *choice.inputs, b, h, values, choice.threads));
  };
  if (!per_head) begin_head(0, 0, nullptr);

  const Stopwatch watch;
  const numerics::FormatId output = attention::output_format(choice.recipe);
  files::Tensors tensors{{"o", empty_heads(output, shape, shape.channels)}};
  for (const char* name : {"lse", "m", "l"})
    tensors[name] = empty_heads(numerics::FormatId::f32, shape, 0);
  double work = 0;
  for (std::size_t b = 0; b < shape.batch; ++b)
    for (std::size_t h = 0; h < shape.heads; ++h) {
      throw_if_interrupted();
      attention::QuantisedHead head;
      if (choice.inputs->coded()) {
        if (per_head) begin_head(b, h, nullptr);
        head = cases::quantised(choice.recipe, layout, choice.inputs->codes(b, h));
      } else {
        const cases::HeadValues values = choice.inputs->values(b, h, choice.threads);
        if (per_head) begin_head(b, h, &values);
        head = attention::quantise_head(choice.recipe, layout, values.view(), numerics::Path::fast,
                                        choice.threads);
      }
      work += layout.multiply_adds();
      Progress bar("head " + std::to_string(b * shape.heads + h + 1) + "/" +
                       std::to_string(shape.batch * shape.heads),
                   narration, layout.multiply_adds(), "MAC");
      const attention::HeadResult result = attention::attend(
          choice.recipe, layout, head,
          {.threads = choice.threads, .tapped = taps, .progress = bar.callback()});
      const auto f32 = numerics::FormatId::f32;
      append(tensors["o"], cases::encoded(result.o, output, {shape.tokens(), shape.channels}));
      append(tensors["lse"], cases::encoded(result.lse, f32, {shape.tokens()}));
      append(tensors["m"], cases::encoded(result.m, f32, {shape.tokens()}));
      append(tensors["l"], cases::encoded(result.l, f32, {shape.tokens()}));
      for (const attention::BlockTap& tap : result.taps)
        for (auto& [name, tensor] : golden::tap_tensors(choice.recipe, layout, tap))
          tensors[golden::tap_name(b, h, tap.query_block, name)] = std::move(tensor);
    }
  files::write_safetensors(out, tensors, cases::describe(choice.recipe, shape.grid, shape.text));

  const double seconds = watch.seconds();
  say(narration, "wrote " + out + ": " + short_number(work) + "MAC in " + short_time(seconds) +
                     " (" + short_number(work / seconds) + "MAC/s), peak memory " +
                     short_number(peak_memory()) + "B");
  say_evidence(narration, choice.recipe);
  if (given->count("json") > 0)
    print_json("attend", 1,
               {{"file", out},
                {"multiply_adds", work},
                {"seconds", seconds},
                {"peak_memory_bytes", peak_memory()},
                {"evidence", evidence_json(choice.recipe)}});
  return match;
}

}  // namespace karat::cli
