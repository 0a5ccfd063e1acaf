// Conversions and matrix products on plain buffers.
#include <algorithm>
#include <cstring>
#include <vector>

#include "call.hpp"
#include "karat/numerics/base/parallel.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "karat/numerics/tensor_core/mixed.hpp"
#include "karat/recipe/fields.hpp"

namespace karat::c {
namespace {

using numerics::FormatId;

/// The spellings of a recipe field's choices, so that names mean the same everywhere.
template <typename Enum>
Enum choice(const char* path, const std::string& name, const std::string& subject) {
  for (const recipe::Choice& each : recipe::field(path).choices)
    if (each.name == name) return static_cast<Enum>(each.value);
  throw Error(ErrorKind::usage, subject, "\"" + name + "\" is not known",
              std::string("see ") + path + " in docs/recipe.md");
}
numerics::Rounding rounding(const std::string& name, const std::string& subject) {
  return choice<numerics::Rounding>("p.rounding", name, subject);
}
numerics::Overflow overflow(const std::string& name, const std::string& subject) {
  return choice<numerics::Overflow>("p.overflow", name, subject);
}

struct Conversion {
  numerics::Policy base;
  std::optional<numerics::Rounding> rounding;  ///< instead of the base's
  std::optional<numerics::Overflow> overflow;
  numerics::RandomStream random;

  numerics::Policy policy() const {
    numerics::Policy made = base;
    made.rounding = rounding.value_or(base.rounding);
    made.overflow = overflow.value_or(base.overflow);
    return made;
  }
};

constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
namespace request = files::request;
constexpr files::RequestField<Conversion> kConversionFields[] = {
    request::parsed<&Conversion::base, numerics::policy>("base", "a named policy"),
    request::parsed<&Conversion::rounding, rounding>("rounding", "instead of the base's"),
    request::parsed<&Conversion::overflow, overflow>("overflow", "instead of the base's")};
constexpr files::RequestField<numerics::RandomStream> kRandomFields[] = {
    request::whole<&numerics::RandomStream::seed>("seed", "of stochastic rounding", 0, kMost),
    request::whole<&numerics::RandomStream::stream>("stream", "of Philox", 0, kMost),
    request::whole<&numerics::RandomStream::first>("first", "word of element 0", 0, kMost)};

Conversion conversion(const char* text) {
  Conversion made;
  if (text == nullptr) return made;
  if (text[0] != '{') return {.base = numerics::policy(text)};
  Fields fields(text, "policy");
  fields.read<Conversion>(kConversionFields, made);
  fields.read<numerics::RandomStream>(kRandomFields, made.random);
  fields.finish();
  return made;
}

/// Bytes an element of a format takes in a caller's buffer.
std::size_t width(const numerics::Format& format) {
  if (format.bits <= 8) return 1;
  return format.bits <= 16 ? 2 : 4;
}

void require_codes(const numerics::Format& format) {
  if (width(format) == 4)
    throw Error(ErrorKind::usage, std::string(format.name), "has no codes of 8 or 16 bits",
                "choose e4m3, e5m2, e8m0, e2m1, int8, int4, f16 or bf16");
}

/// Codes as the values they stand for. The tensor core looks at the upper 19 bits of a TF32 word.
std::vector<float> values_of(const void* codes, std::size_t count, const numerics::Format& format) {
  std::vector<float> values(count);
  if (width(format) == 1) {
    numerics::decode({static_cast<const std::uint8_t*>(codes), count}, values, format.id);
  } else if (width(format) == 2) {
    numerics::decode({static_cast<const std::uint16_t*>(codes), count}, values, format.id);
  } else {
    std::vector<std::uint32_t> words(count);
    std::memcpy(words.data(), codes, count * sizeof(float));
    if (format.id == FormatId::tf32)
      for (std::uint32_t& word : words) word &= ~0x1FFFu;
    std::memcpy(values.data(), words.data(), count * sizeof(float));
  }
  return values;
}

/// One scale, or one per row.
class Scales {
 public:
  Scales(const float* values, std::size_t count, std::size_t rows, const char* what)
      : values_(values), step_(count == 1 ? 0 : 1) {
    if (values != nullptr && count != 1 && count != rows)
      throw Error(ErrorKind::usage, what,
                  std::to_string(count) + " scales for " + std::to_string(rows) + " rows",
                  "give one, or one per row");
  }
  bool given() const { return values_ != nullptr; }
  float operator[](std::size_t row) const { return given() ? values_[row * step_] : 1.0f; }

 private:
  const float* values_;
  std::size_t step_;
};

class ScaledMm {
 public:
  explicit ScaledMm(const karat_scaled_mm_args& args)
      : args_(args),
        instruction_(numerics::instruction(required(args.instruction, "instruction"))),
        m_(extent(args.m, "m")),
        n_(extent(args.n, "n")),
        k_(extent(args.k, "k")),
        scale_a_(args.scale_a, args.scale_a_count, m_, "scale_a"),
        scale_b_(args.scale_b, args.scale_b_count, n_, "scale_b") {
    required(args.d, "d");
    if (k_ > 0 && m_ > 0) required(args.a, "a");
    if (k_ > 0 && n_ > 0) required(args.b, "b");
    const int group = numerics::k_group(instruction_);
    if (args.promote_every < 0 || args.promote_every % group != 0)
      throw Error(ErrorKind::usage, "promote_every",
                  std::to_string(args.promote_every) +
                      " is no multiple of the instruction's k = " + std::to_string(group),
                  "give a multiple, or 0 for never");
  }

  void run() const {
    if (m_ == 0 || n_ == 0) return;
    const auto& format = numerics::format(input_format(instruction_));
    const std::vector<float> b =
        values_of(args_.b, n_ * k_, numerics::format(column_format(instruction_)));
    const std::size_t piece =
        args_.promote_every > 0 ? static_cast<std::size_t>(args_.promote_every) : k_;
    std::vector<numerics::ColumnOperand> columns;
    for (std::size_t at = 0; at < k_; at += piece) {
      columns.emplace_back();
      columns.back().pack(instruction_, part(b.data(), n_, at, std::min(piece, k_ - at)));
    }
    constexpr std::size_t kRows = 64;
    numerics::parallel_for((m_ + kRows - 1) / kRows, args_.threads, [&](std::size_t item, int) {
      const std::size_t first = item * kRows;
      rows(first, std::min(kRows, m_ - first), format, columns, piece);
    });
  }

 private:
  static std::size_t extent(std::int64_t value, const char* what) {
    if (value >= 0 && value < (std::int64_t{1} << 31)) return static_cast<std::size_t>(value);
    throw Error(ErrorKind::usage, what, std::to_string(value) + " is no extent",
                "give a whole number from 0");
  }

  numerics::MatrixView<const float> part(const float* values, std::size_t rows, std::size_t at,
                                         std::size_t length) const {
    return {values + at, rows, length, k_, 1};
  }

  void rows(std::size_t first, std::size_t count, const numerics::Format& format,
            const std::vector<numerics::ColumnOperand>& columns, std::size_t piece) const {
    const auto* bytes = static_cast<const std::byte*>(args_.a);
    const std::vector<float> a = values_of(bytes + first * k_ * width(format), count * k_, format);
    float* d = args_.d + first * n_;
    if (args_.c != nullptr)
      std::copy_n(args_.c + first * n_, count * n_, d);
    else
      std::fill_n(d, count * n_, 0.0f);
    std::vector<float> sum(args_.promote_every > 0 ? count * n_ : 0);
    for (std::size_t i = 0; i < columns.size(); ++i) {
      numerics::RowOperand row;
      row.pack(instruction_, part(a.data(), count, i * piece, std::min(piece, k_ - i * piece)));
      if (args_.promote_every > 0) {
        chain(instruction_, row, columns[i], numerics::Start::absent,
              numerics::row_major(sum.data(), count, n_));
        for (std::size_t e = 0; e < sum.size(); ++e) d[e] += sum[e];
      } else {
        chain(instruction_, row, columns[i],
              args_.c != nullptr ? numerics::Start::from_d : numerics::Start::absent,
              numerics::row_major(d, count, n_));
      }
    }
    if (!scale_a_.given() && !scale_b_.given()) return;
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < n_; ++j) d[i * n_ + j] *= scale_a_[first + i] * scale_b_[j];
  }

  const karat_scaled_mm_args& args_;
  const numerics::Instruction& instruction_;
  std::size_t m_, n_, k_;
  Scales scale_a_, scale_b_;
};

}  // namespace
}  // namespace karat::c

using namespace karat;

karat_status karat_encode(const float* x, size_t count, const char* format, const char* policy,
                          void* codes, karat_error* error) {
  return c::guarded(error, [&] {
    const numerics::Format& to = numerics::format(c::required(format, "format"));
    c::require_codes(to);
    const c::Conversion how = c::conversion(policy);
    if (count == 0) return;
    const std::span<const float> values(c::required(x, "x"), count);
    c::required(codes, "codes");
    if (c::width(to) == 1)
      encode(values, {static_cast<std::uint8_t*>(codes), count}, to.id, how.policy(), how.random);
    else
      encode(values, {static_cast<std::uint16_t*>(codes), count}, to.id, how.policy(), how.random);
  });
}

karat_status karat_decode(const void* codes, size_t count, const char* format, float* x,
                          karat_error* error) {
  return c::guarded(error, [&] {
    const numerics::Format& from = numerics::format(c::required(format, "format"));
    c::require_codes(from);
    if (count == 0) return;
    const std::span<float> values(c::required(x, "x"), count);
    c::required(codes, "codes");
    if (c::width(from) == 1)
      decode({static_cast<const std::uint8_t*>(codes), count}, values, from.id);
    else
      decode({static_cast<const std::uint16_t*>(codes), count}, values, from.id);
  });
}

karat_status karat_scaled_mm(const karat_scaled_mm_args* args, karat_error* error) {
  return c::guarded(error, [&] {
    c::require_size(c::required(args, "args")->size, sizeof *args, "karat_scaled_mm_args");
    c::ScaledMm(*args).run();
  });
}
