// Gradients head by head into the caller's buffers, with the inner stages on request.
#include <algorithm>

#include "call.hpp"
#include "given_mask.hpp"
#include "heads.hpp"
#include "karat/attention/attend.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/groups.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/stages.hpp"
#include "karat/case/taps.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

void require_gradient_type(const karat_backward_args& args) {
  if (args.dq == nullptr && args.dk == nullptr && args.dv == nullptr) return;
  const files::DType made = cases::dtype_of(args.recipe->recipe.backward.output);
  if (dtype_of(required(args.gradient_type, "gradient_type")) == made) return;
  throw Error(ErrorKind::usage, "gradient_type",
              std::string(args.gradient_type) + " where the recipe writes " +
                  std::string(files::info(made).name),
              "give room of that type");
}

/// Gradients of a group of query heads, where they belong.
class Buffers {
 public:
  Buffers(const karat_backward_args& args, const cases::Case& of, const Heads& heads)
      : args_(args), of_(of), heads_(heads) {}

  void put(std::size_t batch, std::size_t kv_head, const attention::BackwardResult& result) const {
    const cases::InputShape& shape = of_.shape();
    const std::size_t group = shape.group();
    for (std::size_t i = 0; i < group; ++i) {
      const std::size_t head = kv_head * group + i;
      put(result.dq[i], shape.heads, batch, head, args_.dq);
      if (args_.delta != nullptr)
        std::ranges::copy(result.delta[i],
                          args_.delta + (batch * shape.heads + head) * shape.tokens());
    }
    put(result.dk, shape.heads / group, batch, kv_head, args_.dk);
    put(result.dv, shape.heads / group, batch, kv_head, args_.dv);
  }

 private:
  void put(const std::vector<float>& rows, std::size_t count, std::size_t batch, std::size_t head,
           void* all) const {
    if (all == nullptr) return;
    put_rows(cases::encoded(rows, of_.recipe.backward.output,
                            {of_.shape().tokens(), of_.shape().channels}),
             heads_, count, batch, head, all);
  }

  const karat_backward_args& args_;
  const cases::Case& of_;
  const Heads& heads_;
};

void backward(const karat_backward_args& args) {
  const GradientTensors given{.d_o = required(args.d_o, "d_o"),
                              .d_o_type = args.d_o_type,
                              .o = args.o,
                              .o_type = args.o_type,
                              .lse = args.lse};
  const auto heads = std::make_shared<const Heads>(args.input, Reads::all, given);
  const cases::Case of =
      cases::make_case(required(args.recipe, "recipe")->recipe, heads, given_mask(args));
  cases::require_backward(of.recipe);
  require_gradient_type(args);
  const auto progress = steps_of(args.progress, args.context);
  const Buffers buffers(args, of, *heads);
  files::TensorFile stages{
      .tensors = {}, .metadata = cases::describe(of.recipe, of.shape().grid, of.shape().text)};
  cases::TapWords words{.forward = args.taps == nullptr ? "none" : args.taps, .dq = {}, .dkv = {}};
  if (args.key_taps != nullptr) words.dkv = args.key_taps;
  const auto forward = [&](cases::HeadAtWork& work) -> cases::GivenOutputs {
    attention::HeadResult made = attention::attend(of.recipe, work.layout, work.operands,
                                                   {.threads = args.threads, .progress = progress});
    return {.o = std::move(made.o), .lse = std::move(made.lse)};
  };
  cases::for_each_group(
      of, {.threads = args.threads, .forward = forward}, [&](cases::GroupAtWork& group) {
        attention::BackwardOptions options{.threads = args.threads, .progress = progress};
        if (args.stages != nullptr) {
          const cases::BackwardTaps taps = cases::parse_backward_taps(
              words, attention::backward_blocks(of.recipe, group.layout), 0);
          options.tapped_queries = taps.queries;
          options.tapped_keys = taps.keys;
        }
        const attention::BackwardResult result = group.backward.run(group.layout, options);
        buffers.put(group.batch, group.kv_head, result);
        if (args.stages != nullptr)
          cases::add_backward_taps(
              stages.tensors, of.recipe, group.layout,
              {.batch = group.batch, .kv_head = group.kv_head, .group = of.shape().group()},
              result);
      });
  if (args.stages != nullptr) *args.stages = handed_out(std::move(stages));
}

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_backward(const karat_backward_args* args, karat_error* error) {
  return c::guarded(error, [&] {
    c::require_size(c::required(args, "args")->size, sizeof *args, "karat_backward_args");
    c::backward(*args);
  });
}
