// Names of datasets into arrays.
#include "karat/golden/golden_file.hpp"

#include <map>
#include <mutex>

#include "karat/attention/predict.hpp"
#include "karat/case/all_heads.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/metadata.hpp"
#include "karat/case/stages.hpp"
#include "karat/files/load.hpp"
#include "karat/files/widen.hpp"
#include "karat/golden/make.hpp"
#include "karat/numerics/base/error.hpp"
#include "schema.hpp"

namespace karat::golden {
namespace {

std::vector<float> decoded(const files::Tensor& tensor, const std::string& subject) {
  if (tensor.dtype != files::DType::i8) return files::widen_to_f32(tensor, subject);
  const auto codes = tensor.as<std::int8_t>();
  return {codes.begin(), codes.end()};
}

std::vector<int> blocks_at(const TappedBlocks& tapped, std::size_t batch, std::size_t head) {
  const auto found = tapped.find({batch, head});
  return found == tapped.end() ? std::vector<int>() : found->second;
}

}  // namespace

struct GoldenFile::Layouts {
  std::mutex mutex;
  std::map<std::pair<std::size_t, std::size_t>, layout::Layout> made;
};

GoldenFile::GoldenFile(const std::filesystem::path& path)
    : source_(cases::TensorSource::open(path)),
      metadata_(source_->metadata()),
      layouts_(std::make_shared<Layouts>()) {
  const auto schema = metadata_.find("schema");
  if (files::file_kind(path) != files::FileKind::hdf5 || schema == metadata_.end())
    throw Error(ErrorKind::input_output, subject(), "is no golden file",
                "make it with this karat: karat make -o FILE");
  if (schema->second != kSchema)
    throw Error(ErrorKind::input_output, subject(),
                "has the schema " + schema->second + ", not " + std::string(kSchema),
                "make it with this karat: karat make -o FILE");
  try {
    read_setting();
    read_mask();
    if (!layout_per_head()) layout();
    Tapped tapped = require_schema(source_->list(),
                                   {.recipe = recipe_,
                                    .tokens = shape_.rows,
                                    .layout = layout_per_head() ? nullptr : &layout()},
                                   subject());
    tapped_ = std::move(tapped.forward);
    dq_tapped_ = std::move(tapped.dq);
    dkv_tapped_ = std::move(tapped.dkv);
    group_ = shape_.heads / source_
                                ->head_shape(*source_->find("k_codes"), cases::Extents::matrix,
                                             cases::TensorLayout::bhsd)
                                .heads;
  } catch (const Error& error) {
    // What would be a wrong request of a person is here a file that says what nobody wrote.
    if (error.kind() != ErrorKind::usage) throw;
    std::string what = error.what();
    if (what.starts_with(subject() + ": ")) what.erase(0, subject().size() + 2);
    throw Error(ErrorKind::input_output, subject(), "holds what has no meaning: " + what,
                "make it again");
  }
}

void GoldenFile::read_setting() {
  const auto recipe = cases::recipe_of(metadata_, subject());
  const auto grid = cases::grid_of(metadata_);
  if (!recipe || !grid || !has("o"))
    throw Error(ErrorKind::input_output, subject(), "lacks recipe, grid or outputs",
                "make it again");
  recipe_ = *recipe;
  shape_ =
      source_->head_shape(*source_->find("o"), cases::Extents::matrix, cases::TensorLayout::bhsd);
  grid_ = *grid;
  text_ = cases::text_of(metadata_);
  if (static_cast<std::size_t>(grid->volume() + text_) != shape_.rows)
    throw Error(ErrorKind::input_output, subject(), "grid and outputs disagree", "make it again");
}

void GoldenFile::read_mask() {
  files::Tensors given;
  constexpr std::string_view kGiven = "mask/given/";
  for (const files::TensorInfo& tensor : source_->list())
    if (tensor.name.starts_with(kGiven))
      given[tensor.name.substr(kGiven.size())] = source_->read(tensor.name);
  if (given.empty()) return;
  const auto stated = metadata_.find("mask_order");
  const cases::MaskOrder blocks = stated == metadata_.end()
                                      ? cases::MaskOrder::positions
                                      : cases::parse_mask_order(stated->second, subject());
  mask_ = std::make_shared<const cases::GivenMask>(std::move(given), subject(),
                                                   cases::MaskReading{.blocks = blocks});
  mask_->require_heads(shape_.batch, shape_.heads);
}

cases::Case GoldenFile::opened_case() const {
  const auto gradient = has_backward() ? cases::GradientOrigin::given : cases::GradientOrigin::none;
  return {
      .recipe = recipe_,
      .inputs = cases::with_largest_of_all(
          recipe_, cases::file_inputs({subject()},
                                      {.grid = grid_, .text = text_, .output_gradient = gradient})),
      .mask = mask_};
}

bool GoldenFile::layout_per_head() const {
  return cases::layouts_of(recipe_, mask_.get()) == cases::Layouts::per_head;
}

const layout::Layout& GoldenFile::layout() const {
  if (layout_per_head())
    throw Error(ErrorKind::usage, subject(), "has a mask of its own for every head",
                "give a case without predict.rule here");
  return layout(0, 0);
}

const layout::Layout& GoldenFile::layout(std::size_t batch, std::size_t head) const {
  const std::pair at =
      layout_per_head() ? std::pair(batch, head) : std::pair<std::size_t, std::size_t>();
  const std::lock_guard lock(layouts_->mutex);
  const auto found = layouts_->made.find(at);
  if (found != layouts_->made.end()) return found->second;
  cases::GivenHead given;
  if (attention::depends_on_head(recipe_))
    cases::read_head(*opened_case().inputs, batch, head, 0, given);
  layout::Layout made =
      cases::head_layout(recipe_, setting(), mask_.get(), batch, head, given.values_or_null(), 0);
  return layouts_->made.emplace(at, std::move(made)).first->second;
}

std::vector<float> GoldenFile::values(std::string_view stage, cases::Extents extents,
                                      std::size_t batch, std::size_t head) const {
  const std::string name = *source_->find(stage);
  const std::size_t heads = source_->head_shape(name, extents, cases::TensorLayout::bhsd).heads;
  return decoded(
      source_->head(name, extents, cases::TensorLayout::bhsd, batch, head * heads / shape_.heads),
      subject() + ": " + name);
}

numerics::FormatId GoldenFile::format(std::string_view stage) const {
  return cases::format_of(source_->info(*source_->find(stage)).dtype);
}

std::vector<int> GoldenFile::tapped(std::size_t batch, std::size_t head) const {
  return blocks_at(tapped_, batch, head);
}
std::vector<int> GoldenFile::dq_tapped(std::size_t batch, std::size_t head) const {
  return blocks_at(dq_tapped_, batch, head);
}
std::vector<int> GoldenFile::dkv_tapped(std::size_t batch, std::size_t kv_head) const {
  return blocks_at(dkv_tapped_, batch, kv_head);
}

attention::BlockTap GoldenFile::tap(std::size_t batch, std::size_t head, int query_block) const {
  const layout::Layout& layout = this->layout(batch, head);
  if (query_block < 0 || static_cast<std::size_t>(query_block) >= layout.blocks.query_blocks.size())
    throw Error(ErrorKind::input_output, subject(),
                "taps query block " + std::to_string(query_block) + ", which the grid has not",
                "make it again");
  const auto values = [&](std::string_view stage) {
    const std::string name = cases::tap_name(batch, head, query_block, stage);
    return decoded(source_->read(*source_->find(name)), subject() + ": " + name);
  };
  attention::BlockTap tap;
  tap.query_block = query_block;
  tap.queries = layout.blocks.query_blocks[query_block];
  tap.column_begin.push_back(0);
  for (const auto& entry : layout.blocks.rows[query_block]) {
    const video::Range keys = layout.blocks.key_blocks[entry.key_block];
    tap.key_block.push_back(entry.key_block);
    tap.column_begin.push_back(tap.column_begin.back() + keys.size());
    for (std::int64_t key = keys.begin; key < keys.end; ++key)
      tap.key_position.push_back(static_cast<std::int32_t>(key));
  }
  tap.a = values("a");
  tap.s = values("s");
  tap.p = values("p_codes");
  tap.m = values("m");
  tap.l = values("l");
  tap.o = values("o");
  const std::size_t elements = tap.queries.size() * tap.key_position.size();
  const std::size_t steps = tap.queries.size() * tap.key_block.size();
  if (tap.a.size() != elements || tap.s.size() != elements || tap.p.size() != elements ||
      tap.m.size() != steps || tap.l.size() != steps || tap.o.size() != steps * shape_.channels)
    throw Error(ErrorKind::input_output, subject(), "taps do not fit the recipe", "make it again");
  return tap;
}

attention::QuantisedHead GoldenFile::operands(std::size_t batch, std::size_t head) const {
  cases::GivenHead given;
  cases::read_head(*opened_case().inputs, batch, head, 0, given);
  return cases::operands_of(recipe_, layout(batch, head), given, 0);
}

}  // namespace karat::golden
