// The check against the table. A size that nothing says beforehand is taken from
// the first dataset that has it and holds for the others.
#include "schema.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include "dataset_table.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/backward.hpp"
#include "karat/case/formats.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::golden {
namespace {

using files::DType;
using files::TensorInfo;
using schema::Row;
using schema::Size;
using schema::There;
using schema::Type;
using enum schema::Size;

constexpr std::string_view kGivenMask = "mask/given/";  // read and checked by cases::GivenMask
constexpr const char* kAgain = "make it again with karat make";

using Sizes = std::array<std::optional<std::size_t>, static_cast<std::size_t>(count)>;
using Datasets = std::map<std::string_view, const TensorInfo*>;

std::optional<std::size_t>& at(Sizes& sizes, Size size) {
  return sizes[static_cast<std::size_t>(size)];
}

/// A number between two slashes, as the writer writes it.
std::optional<std::size_t> number_of(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && std::to_string(value) == text && value <= INT32_MAX ? std::optional(value)
                                                                      : std::nullopt;
}

class Check {
 public:
  Check(const std::vector<TensorInfo>& list, const SchemaFacts& facts, const std::string& subject)
      : facts_(facts), subject_(subject) {
    for (const TensorInfo& dataset : list) datasets_.emplace(dataset.name, &dataset);
    at(sizes_, tokens) = facts.tokens;
    if (facts.layout == nullptr) return;
    at(sizes_, q_groups) = static_cast<std::size_t>(facts.layout->q_groups.count());
    at(sizes_, k_groups) = static_cast<std::size_t>(facts.layout->k_groups.count());
    at(sizes_, v_groups) = static_cast<std::size_t>(facts.layout->v_groups.count());
    at(sizes_, positions) = facts.layout->order.token_at.size();
    at(sizes_, key_positions) = facts.layout->key_order.token_at.size();
    at(sizes_, query_blocks) = facts.layout->blocks.query_blocks.size();
    at(sizes_, key_blocks) = facts.layout->blocks.key_blocks.size();
  }

  Tapped run() {
    folder("", schema::stage_rows(), sizes_);
    for (const Size size : {batch, heads, kv_heads, channels})
      if (at(sizes_, size) == std::size_t{0}) refuse("stages/o", "has no elements");
    if (*at(sizes_, heads) % *at(sizes_, kv_heads) != 0)
      refuse("stages/k_codes", std::to_string(*at(sizes_, kv_heads)) + " heads are no divisor of " +
                                   std::to_string(*at(sizes_, heads)));
    if (facts_.layout != nullptr) {
      layout_of("");
    } else {
      for (std::size_t b = 0; b < *at(sizes_, batch); ++b)
        for (std::size_t h = 0; h < *at(sizes_, heads); ++h)
          layout_of("/" + std::to_string(b) + "/" + std::to_string(h));
    }
    Tapped tapped = taps();
    for (const auto& [name, dataset] : datasets_)
      if (!known_.contains(name) && !name.starts_with(kGivenMask))
        refuse(std::string(name), "is no dataset of this schema");
    return tapped;
  }

 private:
  [[noreturn]] void refuse(const std::string& name, const std::string& problem) const {
    throw Error(ErrorKind::input_output, subject_ + ": " + name, problem, kAgain);
  }

  bool has_backward() const { return datasets_.contains("stages/dq"); }

  bool wanted(There there) const {
    switch (there) {
      case There::backward:
        return has_backward();
      case There::uncoded_output:
        return has_backward() && facts_.recipe.backward.delta == recipe::Delta::unquantised_p;
      case There::q_scaled:
        return quant::leaves_scales(facts_.recipe.q);
      case There::k_scaled:
        return quant::leaves_scales(facts_.recipe.k);
      case There::v_scaled:
        return quant::leaves_scales(facts_.recipe.v);
      case There::branched:
        return facts_.recipe.branch.kind != recipe::BranchKind::none;
      case There::always:
      case There::with_group:
        break;
    }
    return true;
  }

  DType dtype_of(Type type) {
    switch (type) {
      case Type::q:
        return cases::dtype_of(quant::entering_format(facts_.recipe.q));
      case Type::k:
        return cases::dtype_of(quant::entering_format(facts_.recipe.k));
      case Type::v:
        return cases::dtype_of(quant::entering_format(facts_.recipe.v));
      case Type::p:
        return cases::dtype_of(quant::entering_format(rule_of(facts_.recipe.p)));
      case Type::output:
        return cases::dtype_of(attention::output_format(facts_.recipe));
      case Type::branch:
        return cases::dtype_of(facts_.recipe.branch.format);
      case Type::given:
        return given_type("inputs/q");
      case Type::given_do:
        return given_type("inputs/do");
      case Type::uncoded_output:
        return cases::dtype_of(attention::output_format(attention::unquantised_p(facts_.recipe)));
      case Type::gradient:
        return cases::dtype_of(facts_.recipe.backward.output);
      case Type::backward_p:
        return cases::dtype_of(quant::entering_format(facts_.recipe.backward.p));
      case Type::backward_ds:
        return cases::dtype_of(quant::entering_format(facts_.recipe.backward.ds));
      case Type::f64:
        return DType::f64;
      case Type::i32:
        return DType::i32;
      case Type::i64:
        return DType::i64;
      case Type::f32:
        break;
    }
    return DType::f32;
  }

  /// Inputs come in one of three types, q, k and v in the same.
  DType given_type(std::string_view name) const {
    const auto found = datasets_.find(name);
    const DType type = found == datasets_.end() ? DType::f32 : found->second->dtype;
    const bool known = type == DType::f32 || type == DType::bf16 || type == DType::f16;
    return known ? type : DType::f32;
  }

  /// The rows of a folder; `sizes` takes what they say first.
  void folder(const std::string& prefix, const std::vector<Row>& table, Sizes& sizes) {
    std::map<std::string, bool> groups;  // folders of rows that come together: whether they do
    for (const Row& row : table) {
      const std::string name = prefix + std::string(row.name);
      const auto found = datasets_.find(name);
      const bool there = found != datasets_.end();
      if (row.there == There::with_group) {
        const std::string group = name.substr(0, name.rfind('/'));
        if (groups.try_emplace(group, there).first->second != there)
          refuse(name,
                 there ? "stands without its neighbours" : "is missing beside its neighbours");
      } else if (wanted(row.there) != there) {
        refuse(name, there ? "has no meaning under this recipe" : "is missing");
      }
      if (there) dataset(*found->second, row, sizes);
    }
  }

  void dataset(const TensorInfo& about, const Row& row, Sizes& sizes) {
    known_.insert(about.name);
    if (!about.problem.empty()) refuse(about.name, about.problem);
    const DType type = dtype_of(row.type);
    if (about.dtype != type)
      refuse(about.name, "holds " + std::string(files::info(about.dtype).name) + " where " +
                             std::string(files::info(type).name) + " belongs");
    bool fits = about.shape.size() == row.shape.size();
    for (std::size_t d = 0; fits && d < about.shape.size(); ++d) {
      std::optional<std::size_t>& size = at(sizes, row.shape[d]);
      if (!size) size = about.shape[d];
      fits = *size == about.shape[d];
    }
    if (!fits)
      refuse(about.name, "shape " + files::to_string(about.shape) +
                             " does not fit the recipe, the grid or the other datasets");
  }

  void one_more(Sizes& sizes, Size more, Size than, const std::string& name) {
    if (at(sizes, more) != at(sizes, than).value_or(0) + 1)
      refuse(name, "has " + std::to_string(at(sizes, more).value_or(0)) + " borders of " +
                       std::to_string(at(sizes, than).value_or(0)) + " parts");
  }

  void layout_of(const std::string& head) {
    Sizes sizes = sizes_;
    folder("order" + head + "/", schema::order_rows(), sizes);
    folder("mask" + head + "/", schema::mask_rows(), sizes);
    one_more(sizes, query_borders, query_blocks, "mask" + head + "/query_block_begin");
    if (at(sizes, key_blocks))
      one_more(sizes, key_borders, key_blocks, "mask" + head + "/key_block_begin");
  }

  /// Batch entry, head and block of the folders of taps.
  std::set<std::array<std::size_t, 3>> tap_folders(std::string_view kind) const {
    std::set<std::array<std::size_t, 3>> found;
    const std::string prefix = std::string(kind) + "/";
    for (auto it = datasets_.lower_bound(prefix);
         it != datasets_.end() && it->first.starts_with(prefix); ++it) {
      std::string_view rest = it->first.substr(prefix.size());
      std::array<std::size_t, 3> place{};
      for (std::size_t& part : place) {
        const std::size_t slash = rest.find('/');
        const auto number = slash == rest.npos ? std::nullopt : number_of(rest.substr(0, slash));
        if (!number) refuse(std::string(it->first), "names no head and block");
        part = *number;
        rest.remove_prefix(slash + 1);
      }
      found.insert(place);
    }
    return found;
  }

  Tapped taps() {
    Tapped tapped;
    const layout::Layout* layout = facts_.layout;
    folders("stages/tap", schema::tap_rows(), heads, tapped.forward,
            layout == nullptr ? nullptr : &layout->blocks);
    if (!has_backward()) return tapped;
    std::optional<mask::BlockMap> blocks;
    if (layout != nullptr) blocks = attention::backward_blocks(facts_.recipe, *layout);
    const mask::BlockMap* known = blocks ? &*blocks : nullptr;
    folders("stages/dq_tap", schema::dq_tap_rows(), heads, tapped.dq, known);
    folders("stages/dkv_tap", schema::dkv_tap_rows(), kv_heads, tapped.dkv, known);
    return tapped;
  }

  /// @param of  heads that the folders count
  /// @param blocks  of all heads; null where each has its own
  void folders(const std::string& kind, const std::vector<Row>& table, Size of,
               TappedBlocks& tapped, const mask::BlockMap* blocks) {
    for (const auto& [b, h, block] : tap_folders(kind)) {
      const std::string name =
          kind + "/" + std::to_string(b) + "/" + std::to_string(h) + "/" + std::to_string(block);
      if (b >= *at(sizes_, batch) || h >= *at(sizes_, of)) refuse(name, "is of no head here");
      Sizes sizes = sizes_;
      const bool of_keys = of == kv_heads;
      if (blocks != nullptr && of_keys) visiting(*blocks, block, name, sizes);
      if (blocks != nullptr && !of_keys) visited(*blocks, block, name, sizes);
      folder(name + "/", table, sizes);
      if (!of_keys) one_more(sizes, borders, visits, name + "/column_begin");
      tapped[{b, h}].push_back(static_cast<int>(block));
    }
  }

  /// Sizes of a key block's taps: query blocks that visit it, query head by query head.
  void visiting(const mask::BlockMap& blocks, std::size_t block, const std::string& name,
                Sizes& sizes) {
    if (block >= blocks.key_blocks.size()) refuse(name, "is no key block of the grid");
    std::size_t count = 0;
    for (const auto& row : blocks.rows)
      for (const auto& entry : row) count += entry.key_block == static_cast<std::int32_t>(block);
    at(sizes, rows) = static_cast<std::size_t>(blocks.key_blocks[block].size());
    at(sizes, visits) = count * (*at(sizes_, heads) / *at(sizes_, kv_heads));
  }

  /// Sizes of a query block's taps.
  void visited(const mask::BlockMap& blocks, std::size_t block, const std::string& name,
               Sizes& sizes) const {
    if (block >= blocks.query_blocks.size()) refuse(name, "is no query block of the grid");
    std::size_t width = 0;
    for (const auto& entry : blocks.rows[block])
      width += static_cast<std::size_t>(blocks.key_blocks[entry.key_block].size());
    at(sizes, rows) = static_cast<std::size_t>(blocks.query_blocks[block].size());
    at(sizes, columns) = width;
    at(sizes, visits) = blocks.rows[block].size();
  }

  const SchemaFacts& facts_;
  const std::string& subject_;
  Datasets datasets_;
  Sizes sizes_{};
  std::set<std::string_view> known_;
};

}  // namespace

Tapped require_schema(const std::vector<TensorInfo>& datasets, const SchemaFacts& facts,
                      const std::string& subject) {
  return Check(datasets, facts, subject).run();
}

}  // namespace karat::golden
