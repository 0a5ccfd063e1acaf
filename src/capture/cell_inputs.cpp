// A cell's head as inputs.
#include "karat/capture/cell_inputs.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "karat/case/formats.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::capture {
namespace {

class CellInputs final : public cases::Inputs {
 public:
  CellInputs(const Source& source, const Cell& cell, std::uint64_t seed, int threads)
      : Inputs({.grid = source.facts().grid, .channels = source.facts().channels}),
        source_{{"kind", "cell"}, {"cell", name_of(cell)}, {"of", source.facts().origin}},
        seed_(seed),
        values_(source.values(cell, threads)) {
    if (const std::string kind = source.head_kind({cell.prompt, cell.step, cell.layer, cell.head});
        !kind.empty())
      source_["head_kind"] = kind;
  }

  files::Json source() const override { return source_; }
  files::DType dtype() const override { return cases::dtype_of(values_.format); }
  cases::HeadValues values(std::size_t, std::size_t, int) const override { return values_; }
  attention::HeadInput borrowed(std::size_t, std::size_t, int, cases::HeadValues&) const override {
    return values_.view();
  }
  cases::GradientOrigin output_gradient_origin() const override {
    return cases::GradientOrigin::generated;
  }
  std::vector<float> output_gradient(std::size_t batch, std::size_t head) const override {
    return cases::generated_output_gradient(seed_, batch, head, shape().tokens(), shape().channels);
  }

 private:
  files::Json source_;
  std::uint64_t seed_;
  cases::HeadValues values_;
};

}  // namespace

std::unique_ptr<cases::Inputs> cell_inputs(const Source& source, const Cell& cell,
                                           std::uint64_t seed, int threads) {
  const SourceFacts& facts = source.facts();
  const Job job{cell.prompt, cell.step, cell.layer, cell.head};
  if (!std::ranges::binary_search(facts.jobs, job) ||
      std::ranges::find(facts.branches, cell.branch) == facts.branches.end())
    throw Error(ErrorKind::usage, name_of(cell), "is no cell of " + facts.origin,
                "name one that was saved");
  if (!source.query_tokens(job).empty())
    throw Error(ErrorKind::usage, name_of(cell), "holds only some of its queries",
                "save all of q, or measure it by karat study");
  return std::make_unique<CellInputs>(source, cell, seed, threads);
}

}  // namespace karat::capture
