// Everything about one question.
#include "karat/hopper/answer.hpp"

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {

Answer answer(const Question& question, const std::optional<RunRequest>& run, Detail detail,
              std::string title) {
  const bool predicted = question.recipe.predict.rule != recipe::PredictRule::never;
  if (question.gradients == Gradients::computed && (predicted || question.density))
    throw Error(ErrorKind::usage, "recipe " + question.recipe.name,
                "its mask is predicted from Q and K or left by the step before: which key blocks "
                "its gradients visit is open",
                "leave the backward out");
  Answer answer{.title = std::move(title),
                .question = question,
                .cost = attention_cost(question, detail),
                .around = around_attention(question)};
  if (run) answer.run = run_time(question, *run);
  if (question.gradients == Gradients::computed) {
    answer.backward = backward_cost(question, detail);
    if (run) answer.iteration = iteration_time(question, *run);
  }
  return answer;
}

}  // namespace karat::hopper
