// Graph, tensors and meta of a hipDNN bundle.
#include "karat/golden/bundle.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "bundle_keys.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/choice.hpp"
#include "karat/recipe/json.hpp"

namespace karat::golden {
namespace {

using files::DType;
using files::Json;
using files::Tensor;
namespace keys = hipdnn;

constexpr numerics::Named<BundleKind> kKinds[] = {{"hipdnn", BundleKind::hipdnn}};
constexpr numerics::Named<ReferenceStrategy> kStrategies[] = {
    {"matched_precision", ReferenceStrategy::matched_precision},
    {"precision_uplift", ReferenceStrategy::precision_uplift}};

std::string_view strategy_name(ReferenceStrategy strategy) {
  return kStrategies[static_cast<std::size_t>(strategy)].name;
}

/// A tensor's place in a graph: its role there and what it is called in the golden file.
struct Role {
  std::string_view role;
  std::string stored;
};

/// Whether recipe and grid do not say the mask: it was given, or predicted from Q and K.
bool holds_own_mask(const GoldenFile& golden) {
  return golden.mask() != nullptr || golden.recipe().predict.rule != recipe::PredictRule::never;
}

/// [B,H,S,S], or [1,1,S,S] where all heads share it: 1 where the query attends to the key, both in
/// original token order.
/// @throws Error(usage) above 1 GiB
Tensor pairs_of(const GoldenFile& golden) {
  const bool per_head = golden.layout_per_head();
  const std::size_t batch = per_head ? golden.shape().batch : 1;
  const std::size_t heads = per_head ? golden.shape().heads : 1, tokens = golden.shape().rows;
  constexpr double kMost = 0x1p30;
  if (static_cast<double>(batch * heads * tokens) * static_cast<double>(tokens) > kMost)
    throw Error(ErrorKind::usage, golden.subject(),
                "has a mask of its own, which a bundle holds pair by pair: above 1 GiB here",
                "export a case of fewer tokens or heads");
  std::vector<std::uint8_t> kept(batch * heads * tokens * tokens);
  std::size_t e = 0;
  for (std::size_t number = 0; number < batch * heads; ++number) {
    const layout::Layout& layout = golden.layout(number / heads, number % heads);
    for (std::size_t q = 0; q < tokens; ++q)
      for (std::size_t k = 0; k < tokens; ++k)
        kept[e++] = static_cast<std::uint8_t>(
            layout.mask->keeps(layout.order.position_of[q], layout.key_order.position_of[k]));
  }
  return files::make_tensor(DType::u8, {batch, heads, tokens, tokens}, kept);
}

/// hipDNN's name of a type.
std::string_view type_name(DType type) {
  switch (type) {
    case DType::bf16:
      return "bfloat16";
    case DType::f16:
      return "half";
    case DType::f32:
      return "float";
    case DType::f64:
      return "double";
    case DType::f8_e4m3:
      return "fp8_e4m3";
    case DType::f8_e5m2:
      return "fp8_e5m2";
    default:
      throw Error(ErrorKind::usage, std::string(files::info(type).name),
                  "has no name among hipDNN's types", "choose another output format");
  }
}

Json strides_of(const files::Shape& shape) {
  Json strides = Json::array();
  std::size_t stride = 1;
  std::vector<std::size_t> reversed;
  for (std::size_t d = shape.size(); d-- > 0; stride *= shape[d]) reversed.push_back(stride);
  for (auto it = reversed.rbegin(); it != reversed.rend(); ++it) strides.push_back(*it);
  return strides;
}

class HipdnnWriter {
 public:
  HipdnnWriter(const GoldenFile& golden, ReferenceStrategy strategy, std::filesystem::path folder)
      : golden_(golden), strategy_(strategy), folder_(std::move(folder)) {}

  void write(const std::string& name, std::string_view type, const std::vector<Role>& inputs,
             const std::vector<Role>& outputs, const std::optional<std::string>& forward_source) {
    tensors_ = Json::array();
    next_uid_ = 1;
    Json node{{keys::kName, name}, {keys::kType, type}};
    node[std::string(keys::kInputs)] = add(name, inputs);
    node[std::string(keys::kOutputs)] = add(name, outputs);
    if (holds_own_mask(golden_)) {
      if (!mask_) mask_ = pairs_of(golden_);
      node[std::string(keys::kInputs)][std::string(keys::kMask)] =
          add(name, keys::kMask, *mask_, keys::kBoolean);
    }
    node[std::string(keys::kAttributes)] = attributes();
    file(name + ".json", files::format_json(Json{{keys::kName, name},
                                                 {keys::kNodes, Json::array({node})},
                                                 {keys::kTensors, tensors_}}));
    Json meta{{keys::kFormatVersion, keys::kVersion},
              {keys::kGenerator, std::string("karat ") + KARAT_VERSION},
              {keys::kReferenceSource, "karat recipe " + golden_.recipe().name},
              {keys::kReferenceStrategy, strategy_name(strategy_)},
              {keys::kArchitecture, nullptr},  // every GPU: the reference is computed on a CPU
              {keys::kSeed, std::stoll(golden_.metadata().at("seed"))}};
    if (forward_source) meta[std::string(keys::kForwardSource)] = *forward_source;
    file(name + ".meta.json", files::format_json(meta));
  }

  std::vector<std::filesystem::path> take() { return std::move(written_); }

 private:
  Json add(const std::string& name, const std::vector<Role>& roles) {
    Json uids = Json::object();
    for (const Role& role : roles) {
      const Tensor tensor = golden_.source().read(*golden_.source().find(role.stored));
      uids[std::string(role.role)] = add(name, role.role, tensor, type_name(tensor.dtype));
    }
    return uids;
  }

  /// The tensor's uid.
  int add(const std::string& name, std::string_view role, const Tensor& tensor,
          std::string_view type) {
    const int uid = next_uid_++;
    tensors_.push_back({{keys::kUid, uid},
                        {keys::kName, role},
                        {keys::kDims, tensor.shape},
                        {keys::kStrides, strides_of(tensor.shape)},
                        {keys::kDataType, type}});
    const std::string file_name = name + ".tensor" + std::to_string(uid) + ".bin";
    files::write_file(folder_ / file_name, tensor.bytes);
    written_.push_back(folder_ / file_name);
    return uid;
  }

  Json attributes() const {
    const recipe::Recipe& recipe = golden_.recipe();
    const video::Extent3 grid = golden_.grid();
    return {{keys::kScale, 1 / std::sqrt(static_cast<double>(golden_.shape().channels))},
            {keys::kCausal, recipe.mask.causal == recipe::Causal::on},
            {keys::kGrid, {grid.t, grid.h, grid.w}},
            {keys::kText, golden_.text()},
            {keys::kRecipe, files::parse_json(recipe::to_json(recipe), recipe.name)}};
  }

  void file(const std::string& name, const std::string& text) {
    files::write_file(folder_ / name, text);
    written_.push_back(folder_ / name);
  }

  const GoldenFile& golden_;
  ReferenceStrategy strategy_;
  std::filesystem::path folder_;
  std::vector<std::filesystem::path> written_;
  std::optional<Tensor> mask_;  ///< of forward and backward alike
  Json tensors_;
  int next_uid_ = 1;
};

void require_name(const std::string& name) {
  const bool fine =
      !name.empty() && name.size() <= 200 && std::ranges::all_of(name, [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-';
      });
  if (!fine)
    throw Error(ErrorKind::usage, "--name", "\"" + files::shown(name) + "\" names no bundle",
                "use letters, digits, _ and -");
}

/// The names of the forward's outputs, o and its statistics.
std::pair<std::string, std::string> outputs_of(const GoldenFile& golden,
                                               ReferenceStrategy strategy) {
  if (strategy == ReferenceStrategy::matched_precision) return {"o", "lse"};
  const auto rows = golden.source().info(*golden.source().find("truth.rows")).shape;
  if (rows.empty() || rows[0] != golden.shape().rows)
    throw Error(ErrorKind::usage, golden.subject(),
                "holds the truth of some rows alone: no whole output in f64",
                "use a case of at most 32760 tokens, or matched_precision");
  return {"truth.sparse_o", "truth.sparse_lse"};
}

}  // namespace

BundleKind parse_bundle(std::string_view name) {
  return numerics::parse_choice(name, "--bundle", kKinds);
}

ReferenceStrategy parse_strategy(std::string_view name) {
  return numerics::parse_choice(name, "--strategy", kStrategies);
}

std::vector<std::filesystem::path> write_bundle(const GoldenFile& golden, BundleKind,
                                                ReferenceStrategy strategy, const std::string& name,
                                                const std::filesystem::path& folder) {
  require_name(name);
  if (!golden.has("q"))
    throw Error(ErrorKind::usage, golden.subject(), "holds codes, not q, k and v",
                "export a case of values");
  if (golden.recipe().branch.kind != recipe::BranchKind::none)
    throw Error(ErrorKind::usage, golden.subject(),
                "holds an output with a second branch in it, which no operation of the graph says",
                "export a case of the fine branch alone: branch.kind none");
  const bool backward = golden.has_backward();
  if (backward && strategy == ReferenceStrategy::precision_uplift)
    throw Error(ErrorKind::usage, golden.subject(),
                "holds gradients of some rows in f64 alone, and they belong to the same forward",
                "use matched_precision");
  const auto [o, lse] = outputs_of(golden, strategy);
  files::make_folder(folder);
  HipdnnWriter writer(golden, strategy, folder);
  const std::vector<Role> qkv{{"q", "q"}, {"k", "k"}, {"v", "v"}};
  writer.write(name, keys::kForward, qkv, {{"o", o}, {"stats", lse}}, std::nullopt);
  if (backward) {
    std::vector<Role> inputs = qkv;
    for (const Role& role : {Role{"o", o}, Role{"stats", lse}, Role{"do", "do"}})
      inputs.push_back(role);
    writer.write(name + "_backward", keys::kBackward, inputs,
                 {{"dq", "dq"}, {"dk", "dk"}, {"dv", "dv"}}, name);
  }
  return writer.take();
}

}  // namespace karat::golden
