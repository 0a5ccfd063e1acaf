// Tile copies against a loop over elements, over random boxes, swizzles and borders.
#include "units/tensor_copy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "karat/numerics/base/error.hpp"
#include "karat/numerics/formats/convert.hpp"
#include "registers.hpp"

namespace karat::ptx::units {
namespace {

constexpr std::uint64_t kGlobal = 0x10000;
constexpr std::uint32_t kBase = 1024;
constexpr std::size_t kShared = 1 << 17;

class Global : public GlobalMemory {
 public:
  explicit Global(std::size_t size) : bytes(size) {}
  std::byte* at(std::uint64_t address, std::uint64_t size, Access) override {
    if (address < kGlobal || address + size > kGlobal + bytes.size()) {
      throw Error(ErrorKind::usage, "global memory", "wild address");
    }
    return bytes.data() + (address - kGlobal);
  }
  std::vector<std::byte> bytes;
};

/// Where byte `linear` of a box lies, from "16-byte chunk index ^= (address / 128) mod 8, 4, 2".
std::uint32_t place(const TensorMap& map, std::uint32_t shared, std::uint64_t linear) {
  const auto address = static_cast<std::uint32_t>(shared + linear);
  const std::uint32_t row = address / 128, chunks[] = {1, 2, 4, 8};
  const std::uint32_t n = chunks[static_cast<int>(map.swizzle)];
  const std::uint32_t chunk = address / 16;
  return (chunk / n * n + ((chunk % n) ^ (row % n))) * 16 + address % 16;
}

struct Case {
  TensorMap map;
  std::vector<std::int32_t> at;
  std::uint32_t shared = 0;
};

/// Random map over kGlobal whose rows do not overlap, random box and coordinates near the borders.
Case random_case(Words& words) {
  static constexpr TensorType kTypes[] = {TensorType::u8,  TensorType::bf16, TensorType::f16,
                                          TensorType::f32, TensorType::u64,  TensorType::s32};
  Case c;
  TensorMap& m = c.map;
  m.type = kTypes[words.below(6)];
  m.rank = 1 + static_cast<int>(words.below(5));
  m.address = kGlobal + 16 * words.below(4);
  m.swizzle = static_cast<TensorSwizzle>(words.below(4));
  m.fill = m.type >= TensorType::f16 && words.below(2) != 0 ? OutOfBounds::nan : OutOfBounds::zero;
  const auto e = static_cast<std::uint32_t>(tensor_type_bytes(m.type));
  const std::uint32_t span =
      m.swizzle == TensorSwizzle::none ? 256 : 16u << static_cast<int>(m.swizzle);
  m.box[0] = std::min(256u, 16 * (1 + words.below(span / 16)) / e);
  std::uint64_t stride = 16 * (1 + words.below(12));
  for (std::size_t i = 0; i < static_cast<std::size_t>(m.rank); ++i) {
    m.size[i] =
        i == 0 ? 1 + words.below(static_cast<std::uint32_t>(stride / e)) : 1 + words.below(4);
    if (i > 0) {
      m.stride[i] = stride;
      stride = stride * m.size[i] + 16 * words.below(2);
      m.box[i] = 1 + words.below(4);
      m.element_stride[i] = words.below(3) == 0 ? 1 + words.below(3) : 1;
    }
    c.at.push_back(
        static_cast<std::int32_t>(words.below(static_cast<std::uint32_t>(m.size[i]) + 6)) - 4);
  }
  c.shared = kBase + 128 * words.below(16);
  return c;
}

/// visit(bytes of global memory's address or 0 if outside, shared address), element by element.
template <typename Visit>
std::uint64_t for_elements(const Case& c, Visit visit) {
  const auto e = static_cast<std::uint64_t>(tensor_type_bytes(c.map.type));
  std::uint64_t count[5] = {c.map.box[0], 1, 1, 1, 1}, total = 1;
  for (std::size_t i = 1; i < static_cast<std::size_t>(c.map.rank); ++i) {
    count[i] = (c.map.box[i] + c.map.element_stride[i] - 1) / c.map.element_stride[i];
  }
  for (const std::uint64_t n : count) total *= n;
  for (std::uint64_t k = 0; k < total; ++k) {
    std::uint64_t rest = k, address = c.map.address;
    bool inside = true;
    for (std::size_t i = 0; i < static_cast<std::size_t>(c.map.rank); ++i) {
      const auto step = static_cast<std::int64_t>(i == 0 ? 1 : c.map.element_stride[i]);
      const std::int64_t x = c.at[i] + static_cast<std::int64_t>(rest % count[i]) * step;
      rest /= count[i];
      inside = inside && x >= 0 && x < static_cast<std::int64_t>(c.map.size[i]);
      address += static_cast<std::uint64_t>(x) * (i == 0 ? e : c.map.stride[i]);
    }
    visit(inside ? address : 0, place(c.map, c.shared, k * e));
  }
  return total * e;
}

std::vector<std::byte> random_bytes(std::size_t size, Words& words) {
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(words.below(256));
  return bytes;
}

TEST(PtxTensorCopy, LoadsElementByElement) {
  Words words(101);
  const std::vector<std::byte> source = random_bytes(1 << 16, words);
  for (int round = 0; round < 1500; ++round) {
    const Case c = random_case(words);
    Global global(1 << 16);
    global.bytes = source;
    std::vector<std::byte> shared(kShared, std::byte{0xA5}), want = shared;
    const auto e = static_cast<std::size_t>(tensor_type_bytes(c.map.type));
    const std::uint64_t bytes = for_elements(c, [&](std::uint64_t address, std::uint32_t at) {
      if (address != 0) {
        std::memcpy(&want[at - kBase], &global.bytes[address - kGlobal], e);
      } else {
        for (std::size_t i = 0; i < e; ++i) {
          const bool nan = c.map.fill == OutOfBounds::nan;
          want[at - kBase + i] = !nan         ? std::byte{0}
                                 : i + 1 == e ? std::byte{0x7F}
                                              : std::byte{0xFF};
        }
      }
    });
    ASSERT_EQ(tensor_load(c.map, c.at, {shared, kBase}, c.shared, global), bytes);
    ASSERT_EQ(box_bytes(c.map), bytes);
    ASSERT_EQ(shared, want) << round;
    const ByteRange range = shared_range(c.map, c.shared);
    ASSERT_TRUE(range.begin == c.shared && range.end >= c.shared + bytes &&
                range.end < c.shared + bytes + 128);
  }
}

TEST(PtxTensorCopy, StoresOnlyWhatLiesInside) {
  Words words(102);
  const std::vector<std::byte> shared = random_bytes(kShared, words);
  for (int round = 0; round < 1000; ++round) {
    const Case c = random_case(words);
    Global global(1 << 16);
    std::vector<std::byte> want = global.bytes, copy = shared;
    const auto e = static_cast<std::size_t>(tensor_type_bytes(c.map.type));
    std::set<std::uint64_t> touched;
    for_elements(c, [&](std::uint64_t address, std::uint32_t at) {
      if (address == 0) return;
      std::memcpy(&want[address - kGlobal], &shared[at - kBase], e);
      for (std::size_t i = 0; i < e; ++i) touched.insert(address + i);
    });
    tensor_store(c.map, c.at, {copy, kBase}, c.shared, global);
    ASSERT_EQ(global.bytes, want) << round;
    std::set<std::uint64_t> told;
    for (const ByteRange& range : global_ranges(c.map, c.at)) {
      for (std::uint64_t a = range.begin; a < range.end; ++a) told.insert(a);
    }
    ASSERT_EQ(told, touched) << round;
  }
}

TEST(PtxTensorCopy, ReducesElementByElement) {
  Words words(103);
  std::vector<std::byte> shared = random_bytes(kShared, words);
  int rounds = 0;
  while (rounds < 300) {
    Case c = random_case(words);
    if (c.map.type == TensorType::u8) continue;
    ++rounds;
    Global global(1 << 16);
    for (std::size_t i = 0; i < global.bytes.size(); i += 4) {
      const std::uint32_t word = words.next32() & 0xBFFFBFFF;
      std::memcpy(&global.bytes[i], &word, 4);
    }
    std::vector<std::byte> want = global.bytes;
    const bool integer = c.map.type == TensorType::s32 || c.map.type == TensorType::u64;
    const bool largest = integer && words.below(2) != 0;
    for_elements(c, [&](std::uint64_t address, std::uint32_t at) {
      if (address == 0) return;
      std::byte *t = &want[address - kGlobal], *s = &shared[at - kBase];
      const auto combine = [&](auto zero, auto value, auto code) {
        decltype(zero) a, b;
        std::memcpy(&a, t, sizeof a);
        std::memcpy(&b, s, sizeof b);
        a = code(largest ? (value(a) < value(b) ? value(b) : value(a)) : value(a) + value(b));
        std::memcpy(t, &a, sizeof a);
      };
      const auto half = [&](numerics::FormatId f) {
        combine(
            std::uint16_t{}, [f](std::uint16_t x) { return numerics::decode_f64(x, f); },
            [f](double x) {
              return static_cast<std::uint16_t>(
                  std::isnan(x) ? 0x7FFF : numerics::encode_f64(x, f, numerics::kAsComputed));
            });
      };
      const auto same = [](auto x) { return x; };
      switch (c.map.type) {
        case TensorType::f32:
          combine(float{}, same, [](float x) { return std::isnan(x) ? f32(0x7FFFFFFF) : x; });
          break;
        case TensorType::f16:
          half(numerics::FormatId::f16);
          break;
        case TensorType::bf16:
          half(numerics::FormatId::bf16);
          break;
        case TensorType::u64:
          combine(std::uint64_t{}, same, same);
          break;
        default:
          combine(
              std::uint32_t{},
              [&](std::uint32_t x) {
                return static_cast<std::int64_t>(static_cast<std::int32_t>(x));
              },
              [](std::int64_t x) { return static_cast<std::uint32_t>(x); });
      }
    });
    tensor_reduce(c.map, largest ? Reduction::max : Reduction::add, c.at, {shared, kBase}, c.shared,
                  global);
    ASSERT_EQ(global.bytes, want) << static_cast<int>(c.map.type);
  }
}

template <typename T>
T reduced(const char* type, const char* operation, T a, T b) {
  reduce_element(reduction_type(type), reduction(operation), reinterpret_cast<std::byte*>(&a),
                 reinterpret_cast<const std::byte*>(&b));
  return a;
}

TEST(PtxTensorCopy, ReduceElement) {
  EXPECT_EQ(reduced<std::uint32_t>("u32", "inc", 5, 5), 0u);
  EXPECT_EQ(reduced<std::uint32_t>("u32", "inc", 4, 5), 5u);
  EXPECT_EQ(reduced<std::uint32_t>("u32", "dec", 0, 7), 7u);
  EXPECT_EQ(reduced<std::uint32_t>("u32", "dec", 8, 7), 7u);
  EXPECT_EQ(reduced<std::uint32_t>("u32", "dec", 6, 7), 5u);
  EXPECT_EQ(reduced<std::int32_t>("s32", "min", -5, 3), -5);
  EXPECT_EQ(reduced<std::uint32_t>("u32", "min", 0xFFFFFFFB, 3), 3u);
  EXPECT_EQ(reduced<std::uint64_t>("b64", "xor", 5, 3), 6u);
  EXPECT_EQ(reduced<double>("f64", "add", 0.25, 0.5), 0.75);
  EXPECT_EQ(reduced<std::uint16_t>("f16", "max", 0x7E00, 0x3C00), 0x3C00);
  EXPECT_EQ(reduced<std::uint16_t>("bf16", "min", 0x8000, 0x0000), 0x8000);
  EXPECT_EQ(reduced<std::uint16_t>("bf16", "max", 0x7FC0, 0xFFC0), 0x7FFF);
  EXPECT_EQ(reduced<float>("f32", "add", 1e-40f, 1e-40f), 1e-40f + 1e-40f);
  EXPECT_THROW(reduced<float>("f32", "and", 1, 1), Error);
  EXPECT_THROW(reduced<std::uint32_t>("b32", "add", 1, 1), Error);
  EXPECT_THROW(reduced<std::int32_t>("s32", "inc", 1, 1), Error);
  EXPECT_THROW(reduction("mul"), Error);
  EXPECT_THROW(reduction_type("u8"), Error);
}

TEST(PtxTensorCopy, FlushedTypesFlushOnLoad) {
  const TensorMap map{.type = TensorType::f32_ftz,
                      .address = kGlobal,
                      .size = {4, 1, 1, 1, 1},
                      .box = {4, 1, 1, 1, 1}};
  Global global(64);
  const std::uint32_t in[] = {0x00000001, 0x80000001, 0x00800000, 0x3F800000},
                      want[] = {0, 0x80000000, 0x00800000, 0x3F800000};
  std::memcpy(global.bytes.data(), in, sizeof in);
  std::vector<std::byte> shared(128);
  const std::int32_t at[] = {0};
  tensor_load(map, at, {shared, 0}, 0, global);
  EXPECT_EQ(std::memcmp(shared.data(), want, sizeof want), 0);
}

TEST(PtxTensorCopy, BulkCopiesMoveBytes) {
  Words words(104);
  Global global(4096);
  global.bytes = random_bytes(4096, words);
  std::vector<std::byte> a(2048), b(2048);
  bulk_load({a, kBase}, kBase + 64, global, kGlobal + 32, 512);
  EXPECT_EQ(std::memcmp(&a[64], &global.bytes[32], 512), 0);
  bulk_shared({a, kBase}, kBase + 64, {b, 4096}, 4096 + 16, 512);
  EXPECT_EQ(std::memcmp(&b[16], &a[64], 512), 0);
  bulk_store({b, 4096}, 4096 + 16, global, kGlobal + 1024, 512);
  EXPECT_EQ(std::memcmp(&global.bytes[1024], &global.bytes[32], 512), 0);
  std::uint32_t before, after;
  std::memcpy(&before, &global.bytes[1024], 4);
  bulk_reduce(ReductionType::u32, Reduction::add, {b, 4096}, 4096 + 16, global, kGlobal + 1024,
              512);
  std::memcpy(&after, &global.bytes[1024], 4);
  EXPECT_EQ(after, 2 * before);
}

TEST(PtxTensorCopy, BadPlacesAreErrors) {
  const TensorMap map{.rank = 2,
                      .address = kGlobal,
                      .size = {64, 64, 1, 1, 1},
                      .stride = {0, 64, 0, 0, 0},
                      .box = {64, 8, 1, 1, 1}};
  Global global(4096);
  std::vector<std::byte> shared(1024);
  const std::int32_t two[] = {0, 0}, one[] = {0};
  EXPECT_THROW(tensor_load(map, one, {shared, 0}, 0, global), Error);
  EXPECT_THROW(tensor_load(map, two, {shared, 0}, 64, global), Error);
  EXPECT_THROW(tensor_load(map, two, {shared, 0}, 640, global), Error);
  EXPECT_THROW(tensor_load(map, two, {shared, 4096}, 0, global), Error);
  TensorMap wild = map;
  wild.address = 0;
  EXPECT_THROW(tensor_load(wild, two, {shared, 0}, 0, global), Error);
  EXPECT_THROW(bulk_load({shared, 0}, 8, global, kGlobal, 16), Error);
  EXPECT_THROW(bulk_load({shared, 0}, 16, global, kGlobal, 24), Error);
  EXPECT_THROW(bulk_load({shared, 0}, 16, global, kGlobal + 4, 16), Error);
  EXPECT_THROW(bulk_store({shared, 0}, 1008, global, kGlobal, 32), Error);
}

}  // namespace
}  // namespace karat::ptx::units
