// The field table's column `decides`: an edit leaves every stage before the named one as it was,
// bit for bit, and changes the named one in some case.
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstdlib>
#include <optional>
#include <set>

#include "forward_presets.hpp"
#include "karat/attention/attend.hpp"
#include "karat/attention/predict.hpp"
#include "karat/mask/listed.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/recipe/fields.hpp"
#include "karat/recipe/json.hpp"
#include "karat/recipe/validate.hpp"
#include "random_head.hpp"

namespace karat::attention {
namespace {

using recipe::Decides;
using recipe::Field;
using recipe::Recipe;
using recipe::Value;

constexpr video::Extent3 kGrid{3, 5, 6};
constexpr std::size_t kChannels = 32;

/// A hash of bits.
class Digest {
 public:
  void add(std::uint64_t word) { hash_ = (hash_ ^ word) * 1099511628211u; }
  void add(video::Range range) {
    add(static_cast<std::uint64_t>(range.begin));
    add(static_cast<std::uint64_t>(range.end));
  }
  void add(const std::vector<float>& values) {
    add(values.size());
    for (const float value : values) add(std::bit_cast<std::uint32_t>(value));
  }
  std::uint64_t hash() const { return hash_; }

 private:
  std::uint64_t hash_ = 1469598103934665603u;
};

/// What a kernel computes in each stage; entry [Decides::nothing] stays 0.
using Stages = std::array<std::uint64_t, 8>;

void add_layout(const layout::Layout& layout, Digest& order, Digest& visits) {
  for (const video::TokenOrder* side : {&layout.order, &layout.key_order})
    for (const std::int32_t token : side->token_at) order.add(static_cast<std::uint32_t>(token));
  for (const auto* blocks : {&layout.blocks.query_blocks, &layout.blocks.key_blocks})
    for (const video::Range block : *blocks) order.add(block);
  for (const auto& row : layout.blocks.rows) {
    visits.add(row.size());
    for (const auto& entry : row) {
      visits.add(static_cast<std::uint64_t>(entry.key_block));
      visits.add(static_cast<std::uint64_t>(entry.cover));
    }
  }
  for (std::int64_t i = 0; i < layout.mask->queries(); ++i)
    for (std::int64_t j = 0; j < layout.mask->keys(); ++j) visits.add(layout.mask->keeps(i, j));
}

void add_operands(const QuantisedHead& head, Digest& operands) {
  for (const quant::Quantised* x : {&head.q, &head.k, &head.v}) {
    operands.add(x->values);
    operands.add(x->scales);
    for (std::size_t i = 0; i < x->rows; ++i)
      operands.add(static_cast<std::uint64_t>(x->grouping.group(i, kChannels - 1)));
  }
  operands.add(head.smoothed.v_mean);
  operands.add(head.branch);
  operands.add(head.smoothed.q_block_means);
  operands.add(head.smoothed.keys);
  for (const double dot : head.smoothed.q_dot_k_mean)
    operands.add(std::bit_cast<std::uint64_t>(dot));
}

/// Pairs of tokens an odd number apart; token 0 sees nothing.
std::unique_ptr<mask::Mask> odd_pairs(const video::TokenOrder& order) {
  std::vector<std::uint8_t> keep;
  for (const std::int32_t query : order.token_at)
    for (const std::int32_t key : order.token_at)
      keep.push_back(query > 0 && key >= 0 && (query + key) % 2 == 1);
  return mask::boolean_matrix(keep, order.positions(), order.positions());
}

Stages stages_of(const Recipe& recipe, video::Extent3 grid, const RandomHead& head) {
  const layout::Setting setting{
      .grid = grid, .channels = kChannels, .given_mask = odd_pairs, .given_order = {}};
  HeadInput input = head.input();
  input.format = numerics::FormatId::bf16;  // so that smooth_mean has a choice
  const layout::Layout layout = layout_of_head(recipe, setting, input);
  const QuantisedHead operands = quantise_head(recipe, layout, input, numerics::Path::fast);
  AttendOptions options{.threads = 1};
  for (std::size_t i = 0; i < layout.blocks.query_blocks.size(); ++i)
    options.tapped.push_back(static_cast<int>(i));
  const HeadResult result = attend(recipe, layout, operands, options);
  std::array<Digest, 8> digests;
  const auto of = [&](Decides stage) -> Digest& { return digests[static_cast<int>(stage)]; };
  add_layout(layout, of(Decides::order), of(Decides::visits));
  add_operands(operands, of(Decides::operands));
  for (const BlockTap& tap : result.taps) {
    of(Decides::scores).add(tap.a);
    of(Decides::scores).add(tap.s);
    of(Decides::softmax).add(tap.m);
    of(Decides::softmax).add(tap.p);
    of(Decides::softmax).add(tap.l);
    of(Decides::product).add(tap.o);
  }
  of(Decides::finish).add(result.lse);
  of(Decides::finish).add(result.o);
  Stages stages{};
  for (std::size_t stage = 1; stage < stages.size(); ++stage) stages[stage] = digests[stage].hash();
  return stages;
}

/// A preset with tiles, blocks and groups that fit the grid.
Recipe small(std::string_view name) {
  Recipe recipe = recipe::preset(name);
  if (recipe.mask.tile.volume() > 1) recipe.mask.tile = {2, 2, 3};
  for (quant::Rule* rule : {&recipe.q, &recipe.k, &recipe.v}) {
    rule->tile = {2, 2, 3};
    rule->rows = 16;
  }
  recipe.block.q = 16;
  recipe.block.k = 32;
  if (recipe.block.listed > 0) recipe.block.listed = 32;
  if (recipe.pv.promote_every > 0) recipe.pv.promote_every = 32;
  recipe.predict.query_clusters = 4;
  recipe.predict.key_clusters = 6;
  recipe.predict.rows = 4;
  return recipe;
}

using Edits = std::vector<std::pair<std::string_view, Value>>;

struct Case {
  std::string name;
  Recipe recipe;
  Flavour flavour = Flavour::normal;
  video::Extent3 grid = kGrid;

  Case(std::string_view preset, const Edits& edits, Flavour chosen = Flavour::normal,
       video::Extent3 extents = kGrid)
      : name(preset), recipe(small(preset)), flavour(chosen), grid(extents) {
    for (const auto& [path, value] : edits) {
      recipe = recipe::edited(recipe, path, value);
      name += ", " + std::string(path) + " " + recipe::to_text(value);
    }
  }
};

/// Every preset, and cases in which the fields that presets leave at rest decide something.
std::vector<Case> cases() {
  const auto text = [](const char* name) { return Value(std::string(name)); };
  std::vector<Case> list;
  for (const std::string_view name : recipe::forward_presets()) list.emplace_back(name, Edits{});
  const Edits more[] = {
      {{"mask.tile", video::Extent3{1, 1, 3}}, {"mask.window", video::Extent3{1, 3, 1}}},
      {{"mask.unit", text("tokens_exact")}},
      {{"mask.kind", text("given")}},
      {{"q.smooth", text("mean")}, {"k.smooth", text("mean")}, {"v.smooth", text("mean")}},
      {{"q.limit", 600.0}, {"k.limit", 600.0}, {"v.limit", 600.0}},
      {{"v.group", text("tile")}},
      {{"q.scale_rule", text("given")},
       {"k.scale_rule", text("given")},
       {"v.scale_rule", text("given")}},
      {{"skip.threshold", -0.5}},
      {{"skip.rule", text("block_maximum")}},
      {{"p.multiplier", 1.0}},
      {{"output", text("f32")}},
  };
  for (const Edits& edits : more) list.emplace_back("fpsattention", edits);
  list.emplace_back("fpsattention", Edits{}, Flavour::zero_tiles);
  list.emplace_back("fpsattention", Edits{}, Flavour::ties);
  // Multiples of 1/4 over 2.25 or 2.75, times 232: ties of E4M3 on which the three code rules part.
  list.emplace_back("fpsattention",
                    Edits{{"q.group", text("token")},
                          {"k.group", text("token")},
                          {"q.limit", 232.0},
                          {"k.limit", 232.0}},
                    Flavour::ties);
  list.emplace_back("dense_f32", Edits{{"qk.scale_order", text("folded_into_q")}},
                    Flavour::subnormal);
  list.emplace_back("sparge_sm90", Edits{{"predict.similarity", -1.0}, {"predict.mass", 0.3}});
  list.emplace_back("sparge_sm90",
                    Edits{{"predict.similarity", -1.0}, {"predict.select", text("share")}});
  // Tiles of more than a block; scores in BF16 that are often equal.
  list.emplace_back("vsa", Edits{{"mask.tile", video::Extent3{3, 2, 6}}});
  list.emplace_back("vsa", Edits{{"predict.share", 0.5}}, Flavour::ties);
  list.emplace_back("vsa", Edits{{"mask.tile", video::Extent3{1, 1, 2}}, {"predict.share", 0.3}},
                    Flavour::ties);
  list.emplace_back("vsa", Edits{{"mask.tile", video::Extent3{1, 1, 1}}, {"predict.share", 0.2}});
  list.emplace_back("vsa", Edits{{"branch.format", text("f32")}});  // shows how means are rounded
  list.emplace_back("sla", Edits{{"branch.weight", 0.3}});
  list.emplace_back("nabla", Edits{{"mask.kind", text("none")}});
  list.emplace_back("skip_softmax_fp8", Edits{{"skip.factor", 20.0}});  // lambda below 1
  for (const double band : {0.25, 1.0})  // wide enough for bands, which are multiples of 128
    list.emplace_back("svg1", Edits{{"mask.band", band}}, Flavour::one_hot,
                      video::Extent3{3, 10, 10});
  return list;
}

std::vector<Value> alternatives(const Field& field) {
  switch (field.kind) {
    case recipe::Kind::choice: {
      std::vector<Value> values;
      for (const recipe::Choice& choice : field.choices)
        values.emplace_back(std::string(choice.name));
      return values;
    }
    case recipe::Kind::integer:
      return {0.0, 1.0, 2.0, 8.0, 48.0};
    case recipe::Kind::number:
      return {-5e6, -1.0, 0.0, 0.3, 0.8, 2.0, 100.0};
    case recipe::Kind::extent:
      return {video::Extent3{1, 1, 1}, video::Extent3{3, 1, 2}, video::Extent3{4, 4, 6}};
    case recipe::Kind::instruction:
      return {std::string("f32.fma"), std::string("exact"), std::string("hopper.wgmma.f16.f32")};
    case recipe::Kind::text:
      return {};
  }
  return {};
}

/// Nothing where the edit is no recipe, or has no meaning on this grid.
std::optional<Stages> edited_stages(const Case& base, const Field& field, const Value& value,
                                    const RandomHead& head) {
  try {
    Recipe edited = recipe::edited(base.recipe, field.path, value);
    if (field.path.starts_with("q.rotate") || field.path.starts_with("k.rotate"))
      for (const char* other : {"q", "k"}) recipe::set(edited, other + field.path.substr(1), value);
    if (!recipe::problems(edited).empty()) return std::nullopt;
    return stages_of(edited, base.grid, head);
  } catch (const Error&) {
    return std::nullopt;
  }
}

/// No valid recipe rotates V or groups its rows. p.apply can be edited alone only where multiplier
/// and offset are neutral, and so decides nothing. There is no text here.
const std::set<std::string> kAtRest = {"v.rotate", "v.rotate_seed", "v.rows", "p.apply",
                                       "predict.text"};

/// Every edit until its field has changed its stage somewhere. The others ask only whether an
/// earlier stage changes: ordinarily every third of a case, another third in the next case.
TEST(Decides, NothingBeforeTheNamedStageChanges) {
  const bool all = std::getenv("KARAT_LONG") != nullptr;
  std::size_t first = 0;
  std::set<std::string> moved;  // fields whose own stage changed somewhere
  for (const Case& base : cases()) {
    ASSERT_TRUE(recipe::problems(base.recipe).empty()) << base.name;
    const RandomHead head = random_head(base.grid, kChannels, base.flavour, 7);
    const Stages right = stages_of(base.recipe, base.grid, head);
    std::size_t edit = first++;
    for (const Field& field : recipe::fields()) {
      if (field.decides == Decides::gradients) continue;  // the forward does not see them
      const int decides = static_cast<int>(field.decides);
      for (const Value& value : alternatives(field)) {
        if (value == field.read(base.recipe)) continue;
        if (!all && edit++ % 3 != 0 && moved.contains(field.path)) continue;
        const std::optional<Stages> stages = edited_stages(base, field, value, head);
        if (!stages) continue;
        for (int stage = 1; stage < decides; ++stage)
          EXPECT_EQ((*stages)[stage], right[stage])
              << base.name << ": " << field.path << " -> " << recipe::to_text(value)
              << " changes the stage " << to_text(static_cast<Decides>(stage));
        if ((*stages)[decides] != right[decides]) moved.insert(field.path);
      }
    }
  }
  for (const Field& field : recipe::fields()) {
    if (field.decides == Decides::nothing || field.decides == Decides::gradients ||
        field.choices.size() == 1)
      continue;
    EXPECT_EQ(moved.contains(field.path), !kAtRest.contains(field.path))
        << field.path << " and the stage " << to_text(field.decides);
  }
}

}  // namespace
}  // namespace karat::attention
