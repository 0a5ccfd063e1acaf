// How long a Hopper GPU takes: questions and answers as JSON.

#include "call.hpp"
#include "cost/cost_report.hpp"
#include "karat/hopper/trace.hpp"
#include "karat/numerics/base/suggest.hpp"

namespace karat::c {
namespace {

using hopper::Question;

constexpr std::int64_t kMostInt = std::numeric_limits<std::int32_t>::max();

struct Asked {
  Question question;
  std::optional<hopper::RunRequest> run;
};

hopper::LinearFormat linear_format(const std::string& name) {
  if (name == "bf16") return hopper::LinearFormat::bf16;
  if (name == "fp8") return hopper::LinearFormat::fp8;
  if (name == "fp8_block") return hopper::LinearFormat::fp8_block;
  throw Error(ErrorKind::usage, "question.linear", "\"" + name + "\" is not known",
              "give bf16, fp8 or fp8_block");
}

void refuse(Fields& fields, std::initializer_list<const char*> names, const std::string& why) {
  for (const char* name : names)
    if (fields.has(name))
      throw Error(ErrorKind::usage, std::string("question.") + name, why, "leave one out");
}

void ask_of_model(Fields& fields, Asked& asked) {
  const auto whole = [&](const char* name, int otherwise, int low = 1) {
    return static_cast<int>(fields.whole(name, otherwise, low, kMostInt));
  };
  const video::Model& model = video::find_model(fields.text("model", ""));
  const video::Resolution resolution =
      fields.has("resolution") ? video::find_resolution(model, fields.text("resolution", ""))
                               : model.resolutions.front();
  const video::Extent3 grid = video::token_grid(model, resolution);
  asked.question = hopper::ask_model(asked.question, model, grid);
  asked.run = {.model = &model,
               .grid = grid,
               .steps = whole("steps", model.sampler.steps),
               .forwards_per_step = whole("forwards", model.sampler.forwards_per_step),
               .dense_steps = whole("dense_steps", 0, 0),
               .gpus = whole("gpus", 1),
               .linear = linear_format(fields.text("linear", "bf16"))};
  refuse(fields, {"tokens", "grid", "heads", "head_dim", "causal"}, "is the model's");
}

void ask_of_shape(Fields& fields, Question& q) {
  if (fields.has("grid")) {
    q.grid = fields.extent("grid");
    q.shape.queries = q.shape.keys = q.grid->volume();
    refuse(fields, {"tokens"}, "follows from the grid");
  } else {
    if (!fields.has("tokens"))
      throw Error(ErrorKind::usage, "question", "has no shape",
                  "give model and resolution, grid, or tokens");
    q.shape.queries = q.shape.keys = fields.whole("tokens", 1, 1, kMostInt);
  }
  q.shape.heads = static_cast<int>(fields.whole("heads", 1, 1, kMostInt));
  q.shape.head_dim = static_cast<int>(fields.whole("head_dim", 128, 1, kMostInt));
  if (fields.flag("causal")) q.shape.causality = hopper::Causality::causal;
  refuse(fields, {"resolution", "steps", "forwards", "dense_steps", "gpus", "linear"},
         "needs a model");
}

Asked asked_of(const recipe::Recipe& recipe, const char* text) {
  Fields fields(object_of(text, "question"), "question");
  Asked asked;
  asked.question.recipe = recipe;
  asked.question.machine = hopper::load_machine(fields.text("gpu", "H100"));
  if (fields.has("kernel")) asked.question.kernel = hopper::parse_kernel(fields.text("kernel", ""));
  asked.question.shape.batch = static_cast<int>(fields.whole("batch", 1, 1, kMostInt));
  if (fields.has("model"))
    ask_of_model(fields, asked);
  else
    ask_of_shape(fields, asked.question);
  fields.finish();
  return asked;
}

cli::CostAnswer answer(const Asked& asked) {
  const Question& q = asked.question;
  cli::CostAnswer made{.title = q.machine.name,
                       .question = q,
                       .cost = hopper::attention_cost(q, hopper::Detail::bounds)};
  made.around = hopper::around_attention(q);
  if (asked.run) made.run = hopper::run_time(q, *asked.run);
  return made;
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_cost(const karat_recipe* recipe, const char* question, char** answer,
                        karat_error* error) {
  return c::guarded(error, [&] {
    c::required(answer, "answer");
    const c::Asked asked = c::asked_of(c::required(recipe, "recipe")->recipe, question);
    *answer = c::handed_out(cli::cost_json(c::answer(asked)).dump());
  });
}

karat_status karat_cost_picture(const karat_recipe* recipe, const char* question, const char* kind,
                                char** text, karat_error* error) {
  return c::guarded(error, [&] {
    c::required(text, "text");
    const std::string_view wanted = c::required(kind, "kind");
    if (wanted != "svg" && wanted != "trace")
      throw Error(ErrorKind::usage, "kind", "\"" + std::string(wanted) + "\" is not known",
                  "give svg or trace");
    const hopper::Question q =
        c::asked_of(c::required(recipe, "recipe")->recipe, question).question;
    const hopper::AttentionCost cost = hopper::attention_cost(q, hopper::Detail::bounds);
    *text = c::handed_out(wanted == "svg" ? hopper::cost_picture(q, cost)
                                          : hopper::perfetto_trace(q, cost));
  });
}
