// How long a Hopper GPU takes: questions and answers as JSON.
#include "call.hpp"
#include "karat/hopper/answer.hpp"
#include "karat/hopper/request.hpp"

namespace karat::c {
namespace {

struct Asked {
  hopper::Question question;
  std::optional<hopper::RunRequest> run;
};

Asked asked_of(const recipe::Recipe& recipe, const char* text) {
  Fields fields(text, "question");
  Asked asked{.question = {.recipe = recipe}};
  hopper::KernelRequest kernel;
  fields.read(hopper::kernel_fields(), kernel);
  ask(asked.question, kernel);
  if (fields.has("model")) {
    hopper::ModelRequest model;
    fields.read(hopper::model_fields(), model);
    fields.refuse(hopper::shape_fields(), "is the model's");
    asked.run = ask(asked.question, model);
  } else {
    hopper::ShapeRequest shape;
    fields.read(hopper::shape_fields(), shape);
    fields.refuse(hopper::model_fields(), "needs a model");
    ask(asked.question, shape);
  }
  fields.finish();
  return asked;
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_cost(const karat_recipe* recipe, const char* question, char** answer,
                        karat_error* error) {
  return c::guarded(error, [&] {
    c::required(answer, "answer");
    const c::Asked asked = c::asked_of(c::required(recipe, "recipe")->recipe, question);
    *answer =
        c::handed_out(to_json(hopper::answer(asked.question, asked.run, hopper::Detail::bounds,
                                             asked.question.machine.name))
                          .dump());
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
    std::optional<hopper::BackwardCost> backward;
    if (wanted == "trace" && q.gradients == hopper::Gradients::computed)
      backward = hopper::backward_cost(q, hopper::Detail::time);
    *text = c::handed_out(wanted == "svg" ? hopper::cost_picture(q, cost)
                                          : hopper::perfetto_trace(q, cost, backward));
  });
}
