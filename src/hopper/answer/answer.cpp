// Everything about one question.
#include "karat/hopper/answer.hpp"

#include "karat/numerics/base/error.hpp"

namespace karat::hopper {
namespace {

std::vector<std::string> left_out(const recipe::Recipe& r) {
  std::vector<std::string> out;
  if (r.predict.rule != recipe::PredictRule::never) out.emplace_back("the prediction of its mask");
  if (r.branch.kind != recipe::BranchKind::none) out.emplace_back("its second branch");
  if (r.skip.rule == recipe::SkipRule::exponential)
    out.emplace_back("what leaving tiles out saves: all are counted as computed");
  if (r.qk.instruction.starts_with("blackwell."))
    out.emplace_back("Blackwell's units: Hopper's stand in for them");
  return out;
}

}  // namespace

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
                .around = around_attention(question),
                .left_out = left_out(question.recipe)};
  if (run) answer.run = run_time(question, *run);
  if (question.gradients == Gradients::computed) {
    answer.backward = backward_cost(question, detail);
    if (run) answer.iteration = iteration_time(question, *run);
  }
  return answer;
}

}  // namespace karat::hopper
