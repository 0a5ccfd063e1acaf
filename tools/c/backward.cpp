// Gradients head by head into the caller's buffers, with the inner stages on request.
#include "karat/case/backward.hpp"

#include <algorithm>

#include "call.hpp"
#include "given_mask.hpp"
#include "heads.hpp"
#include "karat/attention/attend.hpp"
#include "karat/case/formats.hpp"
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
  cases::BackwardRun run(of, args.threads);
  require_gradient_type(args);
  const auto progress = steps_of(args.progress, args.context);
  const Buffers buffers(args, of, *heads);
  files::TensorFile stages{
      .tensors = {}, .metadata = cases::describe(of.recipe, of.shape().grid, of.shape().text)};
  const cases::HeadLoop loop{.threads = args.threads, .needs = cases::HeadNeeds::both};
  cases::for_each_head(of, loop, [&](cases::HeadAtWork& work) {
    cases::GivenOutputs outputs;
    if (heads->gives_outputs()) {
      outputs = heads->outputs(work.batch, work.head);
    } else {
      attention::HeadResult made = attention::attend(
          of.recipe, work.layout, work.operands, {.threads = args.threads, .progress = progress});
      outputs = {.o = std::move(made.o), .lse = std::move(made.lse)};
    }
    run.add(work, std::move(outputs.o), std::move(outputs.lse));
    if (!run.complete()) return;
    attention::BackwardOptions options{.threads = args.threads, .progress = progress};
    if (args.stages != nullptr) {
      const cases::BackwardTaps taps =
          cases::parse_backward_taps(args.taps == nullptr ? "none" : args.taps,
                                     attention::backward_blocks(of.recipe, work.layout), 0);
      options.tapped_queries = taps.queries;
      options.tapped_keys = taps.keys;
    }
    const attention::BackwardResult result = run.run(work.layout, options);
    buffers.put(work.batch, work.head / of.shape().group(), result);
    if (args.stages != nullptr)
      cases::add_backward_taps(stages.tensors, of.recipe, work.layout,
                               {.batch = work.batch,
                                .kv_head = work.head / of.shape().group(),
                                .group = of.shape().group()},
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
