// Another view of inputs, which knows the largest values of all heads.
#include "karat/case/all_heads.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>

#include "karat/numerics/base/parallel.hpp"

namespace karat::cases {
namespace {

float largest_of(std::span<const float> x, float before) {
  for (const float value : x) before = std::max(before, std::abs(value));
  return before;
}

class WithLargest final : public Inputs {
 public:
  explicit WithLargest(std::shared_ptr<const Inputs> inputs)
      : Inputs(inputs->shape()), inputs_(std::move(inputs)) {}

  files::Json source() const override { return inputs_->source(); }
  files::DType dtype() const override { return inputs_->dtype(); }
  HeadValues values(std::size_t batch, std::size_t head, int threads) const override {
    HeadValues made = inputs_->values(batch, head, threads);
    made.largest = largest(threads);
    return made;
  }
  attention::HeadInput borrowed(std::size_t batch, std::size_t head, int threads,
                                HeadValues& room) const override {
    attention::HeadInput input = inputs_->borrowed(batch, head, threads, room);
    input.largest = largest(threads);
    return input;
  }
  void prepare(int at_once) const override {
    inputs_->prepare(at_once);
    std::call_once(once_, [&] { find_largest(at_once, 1); });
  }
  GradientOrigin output_gradient_origin() const override {
    return inputs_->output_gradient_origin();
  }
  files::DType output_gradient_dtype() const override { return inputs_->output_gradient_dtype(); }
  std::vector<float> output_gradient(std::size_t batch, std::size_t head) const override {
    return inputs_->output_gradient(batch, head);
  }
  bool gives_outputs() const override { return inputs_->gives_outputs(); }
  GivenOutputs outputs(std::size_t batch, std::size_t head,
                       numerics::FormatId format) const override {
    return inputs_->outputs(batch, head, format);
  }

 private:
  attention::LargestOfAll largest(int threads) const {
    std::call_once(once_, [&] { find_largest(1, threads); });
    return largest_;
  }
  /// `at_once` heads at a time, each on `threads`.
  void find_largest(int at_once, int threads) const {
    const std::size_t heads = shape().heads;
    largest_ = {};
    numerics::parallel_in_order(
        shape().batch * heads, at_once, [&](std::size_t number, int) -> std::function<void()> {
          HeadValues room;
          const attention::HeadInput input =
              inputs_->borrowed(number / heads, number % heads, threads, room);
          const attention::LargestOfAll of_head{.q = largest_of(input.q, 0),
                                                .k = largest_of(input.k, 0),
                                                .v = largest_of(input.v, 0)};
          return [this, of_head] {
            largest_ = {.q = std::max(largest_.q, of_head.q),
                        .k = std::max(largest_.k, of_head.k),
                        .v = std::max(largest_.v, of_head.v)};
          };
        });
  }

  std::shared_ptr<const Inputs> inputs_;
  mutable std::once_flag once_;
  mutable attention::LargestOfAll largest_;
};

bool shared_by_all(const recipe::Operand& rule) {
  return rule.group == quant::Group::all_heads && quant::has_scale(rule.format);
}

}  // namespace

bool scales_all_heads(const recipe::Recipe& recipe) {
  return shared_by_all(recipe.q) || shared_by_all(recipe.k) || shared_by_all(recipe.v);
}

std::shared_ptr<const Inputs> with_largest_of_all(const recipe::Recipe& recipe,
                                                  std::shared_ptr<const Inputs> inputs) {
  if (!scales_all_heads(recipe) || inputs->coded() ||
      inputs->shape().batch * inputs->shape().heads == 1)
    return inputs;
  return std::make_shared<WithLargest>(std::move(inputs));
}

}  // namespace karat::cases
