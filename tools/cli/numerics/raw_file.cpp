// Pieces that stay in cache, decoded to f32 and encoded again.
#include "numerics/raw_file.hpp"

#include <bit>
#include <cstring>
#include <fstream>
#include <vector>

#include "interrupt.hpp"
#include "karat/files/atomic_file.hpp"
#include "karat/files/paths.hpp"
#include "karat/numerics/base/error.hpp"
#include "karat/numerics/random/philox.hpp"

namespace karat::cli {
namespace {

using numerics::Format;
using numerics::FormatId;
using numerics::Kind;

constexpr std::size_t kPiece = 1 << 16;

/// Bytes of an element in a raw file; formats below a byte take a byte, TF32 an f32 word.
std::size_t element_bytes(const Format& f) { return f.bits <= 8 ? 1 : f.bits <= 16 ? 2 : 4; }

/// TF32 stands in the upper bits of its word.
int word_shift(const Format& f) { return f.id == FormatId::tf32 ? 13 : 0; }

void check_pair(const Format& from, const Format& to) {
  const std::string pair = std::string(from.name) + " to " + std::string(to.name);
  const auto fail = [&](const std::string& why) {
    throw Error(ErrorKind::usage, "--from, --to", pair + " has no meaning: " + why,
                "see docs/numerics.md for the formats");
  };
  if (from.id == to.id) fail("the formats are the same");
  if (from.id == FormatId::int32 || to.id == FormatId::int32) fail("INT32 is an accumulator");
  const bool scale = from.kind == Kind::power_of_two || to.kind == Kind::power_of_two;
  const bool integer = from.kind == Kind::integer || to.kind == Kind::integer;
  if (scale && integer) fail("a scale and an integer share no values");
}

/// The values of one piece. @param first number of its first element, for errors
void decode_piece(const Format& from, std::span<const std::byte> bytes, std::uint64_t first,
                  const std::string& path, std::span<float> values) {
  const std::size_t size = element_bytes(from);
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t code = 0;
    std::memcpy(&code, bytes.data() + i * size, size);
    code >>= word_shift(from);
    if ((code & ~from.mask()) != 0)
      throw Error(ErrorKind::usage, path,
                  "element " + std::to_string(first + i) + " has bits beyond the " +
                      std::to_string(from.bits) + " of " + std::string(from.name));
    values[i] =
        from.id == FormatId::f32 ? std::bit_cast<float>(code) : numerics::decode(code, from.id);
  }
}

template <typename Code>
void encode_codes(std::span<const float> values, std::byte* bytes, const Format& to,
                  const numerics::Policy& policy, numerics::RandomStream random) {
  std::vector<Code> codes(values.size());
  encode(values, codes, to.id, policy, random);
  std::memcpy(bytes, codes.data(), codes.size() * sizeof(Code));
}

void encode_piece(const Format& to, std::span<const float> values, const numerics::Policy& policy,
                  numerics::RandomStream random, std::byte* bytes) {
  switch (element_bytes(to)) {
    case 1:
      return encode_codes<std::uint8_t>(values, bytes, to, policy, random);
    case 2:
      return encode_codes<std::uint16_t>(values, bytes, to, policy, random);
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint32_t chance =
        numerics::random_bits(random.seed, random.stream, random.first + i);
    const std::uint32_t word = numerics::encode(values[i], to.id, policy, chance) << word_shift(to);
    std::memcpy(bytes + 4 * i, &word, 4);
  }
}

/// Reads `in_path` piece by piece; `change` makes a piece's output bytes from its input bytes.
/// @param out_bytes of an element
template <typename Change>
void change_file(const std::string& in_path, const Format& from, const std::string& out_path,
                 std::size_t out_bytes, Change change) {
  files::require_readable(in_path);
  std::ifstream in(in_path, std::ios::binary);
  if (!in) throw Error(ErrorKind::input_output, in_path, "cannot be read", "check the name");
  files::AtomicFile out(out_path);
  const std::size_t in_bytes = element_bytes(from);
  std::vector<std::byte> source(kPiece * in_bytes), result(kPiece * out_bytes);
  std::uint64_t done = 0;
  while (in) {
    throw_if_interrupted();
    in.read(reinterpret_cast<char*>(source.data()), static_cast<std::streamsize>(source.size()));
    const auto size = static_cast<std::size_t>(in.gcount());
    if (size % in_bytes != 0)
      throw Error(ErrorKind::usage, in_path,
                  std::to_string(done * in_bytes + size) + " bytes are no multiple of the " +
                      std::to_string(in_bytes) + " of an element of " + std::string(from.name));
    const std::size_t count = size / in_bytes;
    change(std::span<const std::byte>(source).first(size), count, done, result.data());
    done += count;
    out.write(std::span<const std::byte>(result).first(count * out_bytes));
  }
  if (in.bad()) throw Error(ErrorKind::input_output, in_path, "reading failed");
  out.commit();
}

}  // namespace

void convert_file(const Format& from, const Format& to, const numerics::Policy& policy,
                  numerics::RandomStream random, const std::string& in_path,
                  const std::string& out_path) {
  check_pair(from, to);
  std::vector<float> values(kPiece);
  change_file(in_path, from, out_path, element_bytes(to),
              [&](std::span<const std::byte> bytes, std::size_t count, std::uint64_t first,
                  std::byte* result) {
                const std::span piece = std::span(values).first(count);
                decode_piece(from, bytes, first, in_path, piece);
                encode_piece(to, piece, policy, random, result);
                random.first += count;
              });
}

void apply_to_file(numerics::Mufu function, numerics::FixedPointCut cut, const std::string& in,
                   const std::string& out) {
  std::vector<float> values(kPiece);
  change_file(
      in, numerics::format("f32"), out, sizeof(float),
      [&](std::span<const std::byte> bytes, std::size_t count, std::uint64_t, std::byte* result) {
        const std::span piece = std::span(values).first(count);
        std::memcpy(piece.data(), bytes.data(), bytes.size());
        mufu(function, piece, piece, cut);
        std::memcpy(result, piece.data(), bytes.size());
      });
}

}  // namespace karat::cli
