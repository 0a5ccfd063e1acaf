// Heads of the user's tensors: values widened exactly, or codes and scales.
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "karat/case/formats.hpp"
#include "karat/case/memory.hpp"
#include "karat/case/metadata.hpp"
#include "karat/files/sha256.hpp"
#include "karat/files/widen.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::cases {
namespace {

using files::DType;

struct Place {
  const TensorSource* source;
  std::string name;
  std::string subject() const { return source->subject() + ": " + name; }
};

/// What a backward reads beside q, k and v; without a source what the case has not.
struct BackwardPlaces {
  Place d_o{}, o{}, lse{};
};

constexpr std::array<std::array<std::string_view, 2>, 3> kNames{
    {{"q", "query"}, {"k", "key"}, {"v", "value"}}};

class FileInputs final : public Inputs {
 public:
  /// @param group query heads that share one of k and v
  FileInputs(InputShape shape, std::size_t group,
             std::vector<std::unique_ptr<TensorSource>> sources, std::array<Place, 3> tensors,
             std::array<Place, 3> scales, BackwardPlaces backward, const FileInputOptions& options)
      : Inputs(shape),
        group_(group),
        sources_(std::move(sources)),
        tensors_(std::move(tensors)),
        scales_(std::move(scales)),
        backward_(std::move(backward)),
        gradient_(options.output_gradient),
        seed_(options.seed),
        layout_(options.layout),
        first_head_(options.only_head.value_or(0)) {}

  files::Json source() const override {
    files::Json json{{"kind", "file"}, {"first_head", first_head_}};
    json["files"] = files::Json::array();
    for (const auto& source : sources_) {
      const std::filesystem::path path = source->subject();
      json["files"].push_back(
          {{"name", path.filename().string()}, {"sha256", files::sha256_file(path)}});
    }
    if (gradient_ == GradientOrigin::generated) json["do"] = "generated";
    return json;
  }

  DType dtype() const override {
    std::array<DType, 3> types;
    for (int i = 0; i < 3; ++i) types[i] = tensors_[i].source->info(tensors_[i].name).dtype;
    const bool alike = types[0] == types[1] && types[1] == types[2];
    return alike && (types[0] == DType::bf16 || types[0] == DType::f16) ? types[0] : DType::f32;
  }

  bool coded() const override { return scales_[0].source != nullptr; }

  GradientOrigin output_gradient_origin() const override { return gradient_; }

  DType output_gradient_dtype() const override {
    if (gradient_ != GradientOrigin::given) return DType::bf16;
    const DType type = backward_.d_o.source->info(backward_.d_o.name).dtype;
    return type == DType::bf16 || type == DType::f16 ? type : DType::f32;
  }

  std::vector<float> output_gradient(std::size_t batch, std::size_t head) const override {
    const std::size_t number = number_of(head, 0);
    if (gradient_ != GradientOrigin::given)
      return generated_output_gradient(seed_, batch, number, shape().tokens(), shape().channels);
    const Place& place = backward_.d_o;
    std::vector<float> values = read(place, Extents::matrix, batch, number);
    require_finite(values, shape().channels, ErrorKind::input_output, place.subject(),
                   rows_of(batch, number));
    return values;
  }

  bool gives_outputs() const override { return backward_.lse.source != nullptr; }

  GivenOutputs outputs(std::size_t batch, std::size_t head,
                       numerics::FormatId format) const override {
    const std::size_t number = number_of(head, 0);
    GivenOutputs given{.o = output_rows(batch, number, format),
                       .lse = read(backward_.lse, Extents::vector, batch, number)};
    require_outputs(given, shape().channels, format, ErrorKind::input_output,
                    rows_of(batch, number), backward_.o.subject(), backward_.lse.subject());
    return given;
  }

  HeadValues values(std::size_t batch, std::size_t head, int) const override {
    HeadValues values{.q = {}, .k = {}, .v = {}, .format = format_of(dtype())};
    std::vector<float>* out[] = {&values.q, &values.k, &values.v};
    for (int i = 0; i < 3; ++i) {
      const Place& place = tensors_[i];
      const std::size_t number = number_of(head, i);
      *out[i] = files::widen_to_f32(
          place.source->head(place.name, Extents::matrix, layout_, batch, number), place.subject());
      require_finite(*out[i], shape().channels, ErrorKind::input_output, place.subject(),
                     rows_of(batch, number));
    }
    return values;
  }

  CodedHead codes(std::size_t batch, std::size_t head) const override {
    CodedHead coded;
    CodedOperand* out[] = {&coded.q, &coded.k, &coded.v};
    for (int i = 0; i < 3; ++i) {
      const std::size_t number = number_of(head, i);
      const files::Tensor codes =
          tensors_[i].source->head(tensors_[i].name, Extents::matrix, layout_, batch, number);
      if (files::info(codes.dtype).size != 1)
        throw Error(ErrorKind::usage, tensors_[i].subject(),
                    "codes are stored as " + std::string(files::info(codes.dtype).name),
                    "store one byte per code (uint8 or F8_E4M3)");
      if (has_format(codes.dtype)) out[i]->format = format_of(codes.dtype);
      out[i]->codes.resize(codes.bytes.size());
      std::memcpy(out[i]->codes.data(), codes.bytes.data(), codes.bytes.size());
      out[i]->scales = files::widen_to_f32(
          scales_[i].source->head(scales_[i].name, Extents::vector, layout_, batch, number),
          scales_[i].subject());
      require_finite(out[i]->scales, 1, ErrorKind::input_output, scales_[i].subject(),
                     rows_of(batch, number));
    }
    return coded;
  }

 private:
  std::vector<float> read(const Place& place, Extents extents, std::size_t batch,
                          std::size_t number) const {
    return files::widen_to_f32(place.source->head(place.name, extents, layout_, batch, number),
                               place.subject());
  }
  /// o of a head: values, or codes of the output's format.
  std::vector<float> output_rows(std::size_t batch, std::size_t number,
                                 numerics::FormatId format) const {
    const Place& place = backward_.o;
    files::Tensor o = place.source->head(place.name, Extents::matrix, layout_, batch, number);
    if (files::info(o.dtype).size == 1) {
      std::optional<numerics::FormatId> said;
      if (has_format(o.dtype)) said = format_of(o.dtype);
      require_output_codes(said, format, place.subject());
      o.dtype = dtype_of(format);
    }
    return files::widen_to_f32(o, place.subject());
  }
  /// The file's number of a head's q (operand 0), k or v.
  std::size_t number_of(std::size_t head, int operand) const {
    return operand == 0 ? head + first_head_ : (head + first_head_) / group_;
  }

  std::size_t group_;
  std::vector<std::unique_ptr<TensorSource>> sources_;
  std::array<Place, 3> tensors_;
  std::array<Place, 3> scales_;  ///< without source: tensors_ hold values
  BackwardPlaces backward_;
  GradientOrigin gradient_;
  std::uint64_t seed_;
  TensorLayout layout_;
  std::size_t first_head_;
};

using Sources = std::vector<std::unique_ptr<TensorSource>>;

std::optional<Place> find(const Sources& sources, std::string_view stage) {
  for (const auto& source : sources)
    if (const auto name = source->find(stage)) return Place{source.get(), *name};
  // A file of one array goes by the file's own name: q.npy.
  for (const auto& source : sources)
    if (std::filesystem::path(source->subject()).stem() == stage && source->list().size() == 1)
      return Place{source.get(), source->list()[0].name};
  return std::nullopt;
}

/// q, k and v under a stage's ending ("", "_codes", "_scale"); values may have their long names.
std::optional<std::array<Place, 3>> find_all(const Sources& sources, const std::string& ending) {
  std::array<Place, 3> places;
  for (int i = 0; i < 3; ++i) {
    auto place = find(sources, std::string(kNames[i][0]) + ending);
    if (!place && ending.empty()) place = find(sources, kNames[i][1]);
    if (!place) return std::nullopt;
    places[i] = *place;
  }
  return places;
}

bool is_code(const Place& place) {
  return files::info(place.source->info(place.name).dtype).size == 1;
}

/// The scales of q, k and v, where these are codes themselves.
std::array<Place, 3> scales_beside(const Sources& sources, const std::array<Place, 3>& tensors) {
  const auto scales = find_all(sources, "_scale");
  for (const Place& place : tensors) {
    const std::string type(files::info(place.source->info(place.name).dtype).name);
    if (is_code(place) != is_code(tensors[0]))
      throw Error(ErrorKind::usage, place.subject(),
                  "is " + type + " where " + tensors[0].name + " is not",
                  "give all three as values, or as codes with scales");
    if (is_code(place) && !scales)
      throw Error(ErrorKind::usage, place.subject(), "holds " + type + " codes without scales",
                  "add q_scale, k_scale and v_scale (1 where there are none), or save values");
  }
  return is_code(tensors[0]) ? *scales : std::array<Place, 3>{};
}

[[noreturn]] void throw_missing(const Sources& sources, const std::string& wanted,
                                const std::string& action) {
  std::string held;
  for (const auto& source : sources)
    for (const files::TensorInfo& tensor : source->list())
      if (held.size() < 100) held += (held.empty() ? "" : ", ") + tensor.name;
  throw Error(ErrorKind::usage, sources.front()->subject(),
              "holds " + (held.empty() ? "nothing" : held) + " but not " + wanted, action);
}

/// Values.
Place require_values(Place place) {
  const std::string type(files::info(place.source->info(place.name).dtype).name);
  if (is_code(place))
    throw Error(ErrorKind::usage, place.subject(), "holds " + type + " codes",
                "give values; the recipe codes them");
  return place;
}

/// A row per row of q.
Place require_rows(Place place, const Place& q, HeadShape shape, Extents extents,
                   TensorLayout layout, const std::string& action) {
  if (extents == Extents::vector) shape.channels = 1;
  if (place.source->head_shape(place.name, extents, layout) != shape)
    throw Error(ErrorKind::usage, place.subject(),
                "shape " + files::to_string(place.source->info(place.name).shape) +
                    " does not go with " + q.name + "'s " +
                    files::to_string(q.source->info(q.name).shape),
                action);
  return place;
}

BackwardPlaces find_backward(const Sources& sources, const Place& q, const HeadShape& shape,
                             const FileInputOptions& options) {
  BackwardPlaces places;
  const auto require = [&](std::optional<Place> place, const std::string& name, Extents extents,
                           const std::string& action) {
    if (!place) throw_missing(sources, name, action);
    return require_rows(*place, q, shape, extents, options.layout, action);
  };
  if (options.output_gradient == GradientOrigin::given) {
    auto place = find(sources, "do");
    const auto other = find(sources, "dout");
    if (place && other)
      throw Error(ErrorKind::usage, other->subject(), "stands beside do: there are two gradients",
                  "give one of them");
    if (!place) place = other;
    places.d_o =
        require_values(require(place, "do, the gradient of the output", Extents::matrix,
                               "give do in the shape of q, or have one made: --do generated"));
  }
  if (options.forward == ForwardOrigin::given) {
    places.o = require(find(sources, "o"), "o, the forward's output", Extents::matrix,
                       "give o in the shape of q, or leave --forward given out");
    places.lse = require_values(require(find(sources, "lse"), "lse, the forward's log-sum-exp",
                                        Extents::vector,
                                        "give lse [B,H,S] beside o, or leave --forward given out"));
  }
  return places;
}

}  // namespace

std::unique_ptr<Inputs> file_inputs(const std::vector<std::filesystem::path>& paths,
                                    const FileInputOptions& options) {
  Sources sources;
  for (const auto& path : paths) sources.push_back(TensorSource::open(path));
  std::array<Place, 3> tensors{}, scales{};
  if (const auto values = find_all(sources, "")) {
    tensors = *values;
    scales = scales_beside(sources, tensors);
  } else {
    const auto codes = find_all(sources, "_codes");
    const auto scale = find_all(sources, "_scale");
    if (!codes || !scale)
      throw_missing(sources, "q, k and v", "name them q, k, v (or q_codes, q_scale, ...)");
    tensors = *codes;
    scales = *scale;
  }
  std::array<HeadShape, 3> shapes;
  for (int i = 0; i < 3; ++i) {
    shapes[i] = tensors[i].source->head_shape(tensors[i].name, Extents::matrix, options.layout);
    HeadShape expected = shapes[0];
    if (i > 0 && shapes[1].heads > 0 && shapes[0].heads % shapes[1].heads == 0)
      expected.heads = shapes[1].heads;
    if (shapes[i] != expected)
      throw Error(ErrorKind::usage, tensors[i].subject(),
                  "shape " + files::to_string(tensors[i].source->info(tensors[i].name).shape) +
                      " differs from " + tensors[0].name + "'s " +
                      files::to_string(tensors[0].source->info(tensors[0].name).shape),
                  "give q, k and v of one shape; k and v may have fewer heads, a divisor");
  }
  for (int i = 0; i < 3 && scales[i].source != nullptr; ++i) {
    const HeadShape found =
        scales[i].source->head_shape(scales[i].name, Extents::vector, options.layout);
    if (found.batch != shapes[i].batch || found.heads != shapes[i].heads)
      throw Error(ErrorKind::usage, scales[i].subject(),
                  "shape " + files::to_string(scales[i].source->info(scales[i].name).shape) +
                      " is of other heads than " + tensors[i].name + "'s " +
                      files::to_string(tensors[i].source->info(tensors[i].name).shape),
                  "give the scales of every batch entry and head");
  }
  const auto& [batch, heads, rows, channels] = shapes[0];
  if (batch * heads * rows * channels == 0)
    throw Error(ErrorKind::usage, tensors[0].subject(), "has no elements",
                "give at least one token");
  if (options.only_head.value_or(0) >= heads)
    throw Error(ErrorKind::usage, "--head " + std::to_string(*options.only_head),
                tensors[0].subject() + " has " + std::to_string(heads) + " heads",
                "choose one from 0 to " + std::to_string(heads - 1));
  if (options.only_head && options.output_gradient != GradientOrigin::none &&
      heads != shapes[1].heads)
    throw Error(ErrorKind::usage, "--head " + std::to_string(*options.only_head),
                "shares k and v with other heads, whose gradients add up in dk and dv",
                "leave --head out, or --backward");
  BackwardPlaces backward = find_backward(sources, tensors[0], shapes[0], options);
  const files::Metadata metadata = tensors[0].source->metadata();
  InputShape shape{.batch = batch,
                   .heads = options.only_head ? 1 : heads,
                   .kv_heads = options.only_head ? 1 : shapes[1].heads,
                   .channels = channels};
  set_tokens(shape, options.grid ? options.grid : said_grid(metadata, tensors[0].source->subject()),
             options.text.value_or(text_of(metadata)), rows, tensors[0].subject() + " has");
  const std::size_t group = heads / shapes[1].heads;
  return std::make_unique<FileInputs>(shape, group, std::move(sources), tensors, scales,
                                      std::move(backward), options);
}

}  // namespace karat::cases
