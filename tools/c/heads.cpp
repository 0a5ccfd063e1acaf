// See heads.hpp.
#include "heads.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "call.hpp"
#include "karat/case/formats.hpp"
#include "karat/case/memory.hpp"
#include "karat/files/sha256.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "tensors.hpp"

namespace karat::c {
namespace {

numerics::FormatId format_named(const char* name, const char* what = "type") {
  const std::string_view type = required(name, what);
  if (type == "f32") return numerics::FormatId::f32;
  if (type == "f16") return numerics::FormatId::f16;
  if (type == "bf16") return numerics::FormatId::bf16;
  throw Error(ErrorKind::usage, what, "values in " + std::string(type) + " are not taken",
              "give f32, f16 or bf16; f64 values round first, which only you can allow");
}

std::size_t extent(std::int64_t value, const char* what) {
  if (value < 1 || value >= (std::int64_t{1} << 31))
    throw Error(ErrorKind::usage, what, std::to_string(value) + " is no extent", "give one from 1");
  return static_cast<std::size_t>(value);
}

cases::InputShape shape_of(const karat_heads& given, Reads reads) {
  cases::InputShape shape{.batch = extent(given.batch, "batch"),
                          .heads = extent(given.heads, "heads"),
                          .channels = extent(given.channels, "channels")};
  const auto& [t, h, w] = given.grid;
  std::optional<video::Extent3> grid;
  if (t != 0 || h != 0 || w != 0) grid = {t, h, w};
  cases::set_tokens(shape, grid, given.text, extent(given.tokens, "tokens"), "the tensors have");
  shape.kv_heads = cases::kv_heads_of(shape.heads, given.kv_heads);
  if (reads == Reads::q && shape.kv_heads != shape.heads)
    throw Error(ErrorKind::usage, "kv_heads", "says nothing about one operand alone",
                "leave it 0 and give the operand's own heads");
  return shape;
}

}  // namespace

Strides::Strides(const cases::InputShape& shape, std::size_t h, cases::TensorLayout layout) {
  const std::size_t d = shape.channels, s = shape.tokens();
  batch = h * s * d;
  const bool bhsd = layout == cases::TensorLayout::bhsd;
  head = bhsd ? s * d : d;
  row = bhsd ? d : h * d;
}

void put_rows(const files::Tensor& rows, const Heads& heads, std::size_t count, std::size_t b,
              std::size_t h, void* all) {
  const Strides strides(heads.shape(), count, heads.layout());
  const std::size_t size = files::info(rows.dtype).size, row = rows.shape[1] * size;
  auto* to = static_cast<std::byte*>(all) + strides.offset(b, h) * size;
  for (std::size_t s = 0; s < rows.shape[0]; ++s)
    std::memcpy(to + s * strides.row * size, &rows.bytes[s * row], row);
}

Heads::Heads(const karat_heads& given, Reads reads, const GradientTensors& gradient)
    : Inputs(shape_of(given, reads)),
      layout_(cases::parse_layout(required(given.layout, "layout"))),
      format_(given.scales == nullptr ? format_named(given.type) : numerics::FormatId::f32),
      q_(required(given.q, "q")),
      k_(reads == Reads::all ? required(given.k, "k") : q_),
      v_(reads == Reads::all ? required(given.v, "v") : q_),
      gradient_(gradient) {
  require_gradient();
  if (given.scales == nullptr) return;
  if (reads == Reads::q)
    throw Error(ErrorKind::usage, "scales", "make q codes, and codes are not quantised again",
                "give values");
  set_scales(*given.scales);
}

void Heads::require_gradient() const {
  if (gradient_.d_o != nullptr) format_named(gradient_.d_o_type, "d_o_type");
  if ((gradient_.o == nullptr) != (gradient_.lse == nullptr))
    throw Error(ErrorKind::usage, gradient_.o == nullptr ? "o" : "lse",
                std::string("is missing beside ") + (gradient_.o == nullptr ? "lse" : "o"),
                "give both as the forward left them, or neither");
}

cases::GradientOrigin Heads::output_gradient_origin() const {
  return gradient_.d_o == nullptr ? cases::GradientOrigin::none : cases::GradientOrigin::given;
}

files::DType Heads::output_gradient_dtype() const {
  return cases::dtype_of(format_named(gradient_.d_o_type, "d_o_type"));
}

std::vector<float> Heads::rows_of(const void* tensor, numerics::FormatId format, std::size_t batch,
                                  std::size_t head) const {
  const Strides strides(shape(), shape().heads, layout_);
  const std::size_t d = shape().channels, rows = shape().tokens();
  std::vector<float> values(rows * d);
  for (std::size_t s = 0; s < rows; ++s) {
    const std::size_t at = strides.offset(batch, head) + s * strides.row;
    const std::span<float> row(&values[s * d], d);
    if (format == numerics::FormatId::f32)
      std::copy_n(static_cast<const float*>(tensor) + at, d, row.data());
    else if (quant::has_scale(format))
      numerics::decode({static_cast<const std::uint8_t*>(tensor) + at, d}, row, format);
    else
      numerics::decode({static_cast<const std::uint16_t*>(tensor) + at, d}, row, format);
  }
  return values;
}

numerics::FormatId Heads::given_output_format(numerics::FormatId format) const {
  const files::DType stored = dtype_of(required(gradient_.o_type, "o_type"));
  if (files::info(stored).size > 1) return format_named(gradient_.o_type, "o_type");
  std::optional<numerics::FormatId> said;
  if (cases::has_format(stored)) said = cases::format_of(stored);
  cases::require_output_codes(said, format, "o");
  return format;
}

std::vector<float> Heads::output_gradient(std::size_t batch, std::size_t head) const {
  std::vector<float> values =
      rows_of(gradient_.d_o, format_named(gradient_.d_o_type, "d_o_type"), batch, head);
  cases::require_finite(values, shape().channels, ErrorKind::usage, "d_o",
                        cases::rows_of(batch, head));
  return values;
}

cases::GivenOutputs Heads::outputs(std::size_t batch, std::size_t head,
                                   numerics::FormatId format) const {
  const std::size_t first = (batch * shape().heads + head) * shape().tokens();
  cases::GivenOutputs given{
      .o = rows_of(gradient_.o, given_output_format(format), batch, head),
      .lse = {gradient_.lse + first, gradient_.lse + first + shape().tokens()}};
  cases::require_outputs(given, shape().channels, format, ErrorKind::usage,
                         cases::rows_of(batch, head), "o", "lse");
  return given;
}

void Heads::set_scales(const karat_scales& given) {
  const auto scales_of = [](const char* type, const float* values, std::int64_t groups,
                            const char* name) {
    const files::DType stored = dtype_of(required(type, "scales: type"));
    if (files::info(stored).size != 1)
      throw Error(ErrorKind::usage, name, "codes of type " + std::string(type) + " are not taken",
                  "give one byte a code: e4m3, e5m2, i8 or u8");
    Scales made{.values = required(values, name), .groups = extent(groups, name), .format = {}};
    if (cases::has_format(stored)) made.format = cases::format_of(stored);
    return made;
  };
  scales_ = {scales_of(given.q_type, given.q, given.q_groups, "q_scale"),
             scales_of(given.k_type, given.k, given.k_groups, "k_scale"),
             scales_of(given.v_type, given.v, given.v_groups, "v_scale")};
}

cases::CodedHead Heads::codes(std::size_t batch, std::size_t head) const {
  return {.q = coded_operand(0, batch, head),
          .k = coded_operand(1, batch, head),
          .v = coded_operand(2, batch, head)};
}

cases::CodedOperand Heads::coded_operand(int operand, std::size_t batch, std::size_t head) const {
  const std::size_t heads = operand == 0 ? shape().heads : kv_heads();
  const std::size_t number = operand == 0 ? head : head / shape().group();
  const Scales& scales = scales_[operand];
  const Strides strides(shape(), heads, layout_);
  const std::size_t d = shape().channels;
  const auto* codes = static_cast<const std::uint8_t*>(std::array{q_, k_, v_}[operand]) +
                      strides.offset(batch, number);
  cases::CodedOperand made{.codes = std::vector<std::uint8_t>(shape().tokens() * d),
                           .scales = {},
                           .format = scales.format};
  for (std::size_t s = 0; s < shape().tokens(); ++s)
    std::copy_n(codes + s * strides.row, d, &made.codes[s * d]);
  const float* first = scales.values + (batch * heads + number) * scales.groups;
  made.scales.assign(first, first + scales.groups);
  const auto bad = std::ranges::find_if(made.scales, [](float x) { return !std::isfinite(x); });
  if (bad == made.scales.end()) return made;
  throw Error(ErrorKind::usage, std::string(1, "qkv"[operand]) + "_scale",
              std::string(std::isnan(*bad) ? "NaN" : "Inf") + " at batch " + std::to_string(batch) +
                  ", head " + std::to_string(number) + ", group " +
                  std::to_string(bad - made.scales.begin()),
              "attention of it has no value; mend the input");
}

files::DType Heads::dtype() const { return cases::dtype_of(format_); }

cases::HeadValues Heads::values(std::size_t batch, std::size_t head, int threads) const {
  cases::HeadValues room;
  const attention::HeadInput input = borrowed(batch, head, threads, room);
  const auto copy = [](std::span<const float> x) { return std::vector<float>(x.begin(), x.end()); };
  return {.q = copy(input.q), .k = copy(input.k), .v = copy(input.v), .format = format_};
}

attention::HeadInput Heads::borrowed(std::size_t batch, std::size_t head, int,
                                     cases::HeadValues& room) const {
  const std::size_t shared = head / shape().group();
  return {.q = operand(q_, "q", shape().heads, batch, head, room.q),
          .k = operand(k_, "k", kv_heads(), batch, shared, room.k),
          .v = operand(v_, "v", kv_heads(), batch, shared, room.v),
          .format = format_};
}

std::span<const float> Heads::operand(const void* tensor, const char* name, std::size_t heads,
                                      std::size_t batch, std::size_t head,
                                      std::vector<float>& room) const {
  const Strides strides(shape(), heads, layout_);
  const std::size_t d = shape().channels, rows = shape().tokens(), count = rows * d;
  const std::size_t begin = strides.offset(batch, head);
  std::span<const float> values;
  if (format_ == numerics::FormatId::f32 && strides.row == d) {
    values = {static_cast<const float*>(tensor) + begin, count};
  } else {
    room.resize(count);
    values = room;
    for (std::size_t s = 0; s < rows; ++s) {
      const std::size_t at = begin + s * strides.row;
      const std::span<float> row(room.data() + s * d, d);
      if (format_ == numerics::FormatId::f32)
        std::copy_n(static_cast<const float*>(tensor) + at, d, row.data());
      else
        numerics::decode({static_cast<const std::uint16_t*>(tensor) + at, d}, row, format_);
    }
  }
  cases::require_finite(values, d, ErrorKind::usage, name, cases::rows_of(batch, head));
  return values;
}

files::Json Heads::source() const {
  const std::size_t head = (coded() ? 1 : files::info(dtype()).size) * shape().tokens() *
                           shape().channels * shape().batch;
  files::Sha256 hash;
  for (const auto& [tensor, heads] :
       {std::pair{q_, shape().heads}, {k_, kv_heads()}, {v_, kv_heads()}})
    hash.update({static_cast<const std::byte*>(tensor), head * heads});
  for (int i = 0; coded() && i < 3; ++i)
    hash.update(std::as_bytes(
        std::span(scales_[i].values,
                  shape().batch * (i == 0 ? shape().heads : kv_heads()) * scales_[i].groups)));
  if (gradient_.d_o != nullptr)
    hash.update({static_cast<const std::byte*>(gradient_.d_o),
                 files::info(output_gradient_dtype()).size * shape().tokens() * shape().channels *
                     shape().batch * shape().heads});
  return {{"kind", "memory"}, {"sha256", hash.hex()}};
}

}  // namespace karat::c
