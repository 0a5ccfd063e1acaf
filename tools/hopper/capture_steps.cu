// Captures tensor-core steps: random operands, chains and hand-made deciders of every instruction.
// Usage: capture_steps OUT [SEED]; writes OUT/steps_*, chains_* and rows_*.safetensors.
#include <array>
#include <string>
#include <vector>

#include "capture_file.hpp"
#include "instructions.cuh"
#include "karat/evidence/deciders.hpp"
#include "karat/evidence/inputs.hpp"
#include "karat/golden/fragment.hpp"

namespace karat::capture {
namespace {

constexpr std::uint32_t kRandomTiles = 2048;  // 2^20 cases
constexpr std::uint32_t kChainTiles = 8;
constexpr std::uint32_t kSampleRows = 512;
constexpr std::uint32_t kChainSampleRows = 512;

/// Operands that the host made; tile t is row t of the lists, in row 0 and column 0.
struct GivenRows {
  const std::uint32_t* a_words;  // rows x k
  const std::uint32_t* b_words;
  const std::uint32_t* c_words;
  int k;

  __device__ std::uint32_t a(const numerics::Format&, std::uint32_t tile, std::uint32_t, int row,
                             int element) const {
    return row == 0 ? a_words[tile * k + element] : 0;
  }
  __device__ std::uint32_t b(const numerics::Format&, std::uint32_t tile, std::uint32_t, int column,
                             int element) const {
    return column == 0 ? b_words[tile * k + element] : 0;
  }
  __device__ std::uint32_t c(const numerics::Format&, std::uint32_t tile, int row,
                             int column) const {
    return row == 0 && column == 0 ? c_words[tile] : 0;
  }
};

/// Small whole numbers, whose sums are exact in every model: a wrong fragment or descriptor layout
/// shows here, and nothing is written.
struct SmallIntegers {
  __host__ __device__ static int a_value(int row, int k) {
    return (row * 7 + k * 3 + k / 5) % 5 - 2;
  }
  __host__ __device__ static int b_value(int column, int k) {
    return (column * 3 + k * 4 + k / 7) % 5 - 2;
  }
  __host__ __device__ static int c_value(int row, int column) { return (row + 5 * column) % 3 - 1; }
  __device__ static std::uint32_t code(const numerics::Format& f, int value) {
    if (f.kind == numerics::Kind::integer) return static_cast<std::uint32_t>(value) & f.mask();
    if (value == 0) return 0u;
    const int magnitude = value < 0 ? -value : value;
    return (value < 0 ? f.sign_mask() : 0) | static_cast<std::uint32_t>(f.bias + magnitude / 2)
                                                 << f.fraction_bits;
  }
  __device__ std::uint32_t a(const numerics::Format& f, std::uint32_t, std::uint32_t, int row,
                             int element) const {
    return code(f, a_value(row, element));
  }
  __device__ std::uint32_t b(const numerics::Format& f, std::uint32_t, std::uint32_t, int column,
                             int element) const {
    return code(f, b_value(column, element));
  }
  __device__ std::uint32_t c(const numerics::Format& f, std::uint32_t, int row, int column) const {
    return code(f, c_value(row, column));
  }
};

struct Lengths {
  int count;
  int length[std::size(evidence::kChainLengths)];
};
constexpr Lengths kSingle{1, {1}};
constexpr Lengths kChain{6, {1, 2, 4, 16, 64, 256}};

/// One CTA of a warpgroup per tile; d[length][tile][row][column].
template <class Instruction, class Source>
__global__ void run_tiles(Source source, Lengths lengths, std::uint32_t* d) {
  constexpr numerics::Format in = numerics::format(Instruction::input);
  constexpr numerics::Format out = numerics::format(Instruction::accumulator);
  constexpr int per_register = 32 / in.bits;
  constexpr bool packed = out.bits == 16;
  __shared__ alignas(128) std::uint8_t b[evidence::kTileColumns * kColumnBytes];
  const int thread = static_cast<int>(threadIdx.x);
  const std::uint32_t tile = blockIdx.x;

  std::uint32_t words[4] = {};
  for (int r = 0; r < 4; ++r) {
    const golden::FragmentPlace place = golden::accumulator_place(thread, r);
    const std::uint32_t c = source.c(out, tile, place.row, place.column);
    if (packed)
      words[r / 2] |= c << 16 * (r % 2);
    else
      words[r] = c;
  }
  int step = 0;
  for (int l = 0; l < lengths.count; ++l) {
    for (; step < lengths.length[l]; ++step) {
      std::uint32_t a[4] = {};
      for (int e = 0; e < 4 * per_register; ++e) {
        const golden::FragmentPlace place = golden::a_operand_place(thread, e, in.bits);
        a[e / per_register] |= source.a(in, tile, step, place.row, place.column)
                               << in.bits * (e % per_register);
      }
      constexpr int bytes = in.bits / 8;
      __syncthreads();
      for (int i = thread; i < evidence::kTileColumns * kColumnBytes / bytes; i += blockDim.x) {
        const int column = i / (kColumnBytes / bytes), element = i % (kColumnBytes / bytes);
        const std::uint32_t code = source.b(in, tile, step, column, element);
        for (int byte = 0; byte < bytes; ++byte)
          b[b_offset(column, element * bytes + byte)] = static_cast<std::uint8_t>(code >> 8 * byte);
      }
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
      __syncthreads();
      Instruction::run(words, a, b);
    }
    for (int r = 0; r < 4; ++r) {
      const golden::FragmentPlace place = golden::accumulator_place(thread, r);
      const std::uint32_t word = packed ? words[r / 2] >> 16 * (r % 2) & 0xFFFF : words[r];
      d[(std::size_t{gridDim.x} * l + tile) * evidence::kTileCases +
        place.row * evidence::kTileColumns + place.column] = word;
    }
  }
}

template <class Instruction, class Source>
std::vector<std::uint32_t> run(Source source, std::uint32_t tiles, const Lengths& lengths) {
  DeviceArray<std::uint32_t> d(std::size_t{tiles} * evidence::kTileCases * lengths.count);
  run_tiles<Instruction><<<tiles, golden::kWarpgroupThreads>>>(source, lengths, d.data());
  finish(Instruction::name);
  return d.download();
}

template <class Instruction>
constexpr int kElements = kColumnBytes * 8 / numerics::format(Instruction::input).bits;

/// Value of a whole number in the accumulator's format, decoded on the host.
double number(const numerics::Format& f, std::uint32_t word) {
  if (f.kind == numerics::Kind::integer) return static_cast<std::int32_t>(word);
  const std::uint32_t magnitude = word & f.magnitude_mask();
  if (magnitude == 0) return 0;
  const int exponent = static_cast<int>(magnitude >> f.fraction_bits) - f.bias;
  const double fraction = 1 + static_cast<double>(magnitude & ((1u << f.fraction_bits) - 1)) /
                                  static_cast<double>(1u << f.fraction_bits);
  const double value = exponent >= 0 ? fraction * static_cast<double>(1ull << (exponent & 63)) : -1;
  return word & f.sign_mask() ? -value : value;
}

template <class Instruction>
void require_right_layout() {
  const std::vector<std::uint32_t> d = run<Instruction>(SmallIntegers{}, 1, kSingle);
  for (int row = 0; row < evidence::kTileRows; ++row)
    for (int column = 0; column < evidence::kTileColumns; ++column) {
      int sum = SmallIntegers::c_value(row, column);
      for (int k = 0; k < kElements<Instruction>; ++k)
        sum += SmallIntegers::a_value(row, k) * SmallIntegers::b_value(column, k);
      constexpr numerics::Format out = numerics::format(Instruction::accumulator);
      const double found = number(out, d[row * evidence::kTileColumns + column]);
      if (found != sum)
        fail(Instruction::name, "row " + std::to_string(row) + ", column " +
                                    std::to_string(column) + " of a sum of whole numbers is " +
                                    std::to_string(found) + ", not " + std::to_string(sum) +
                                    ": operands are laid out wrongly");
    }
}

std::vector<std::uint64_t> tile_hashes(const std::vector<std::uint32_t>& d, std::uint32_t tiles) {
  std::vector<std::uint64_t> hashes(d.size() / evidence::kTileCases);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const auto index = static_cast<std::uint32_t>(i % (std::size_t{tiles} * evidence::kTileCases));
    hashes[i / evidence::kTileCases] += evidence::fingerprint(index, d[i]);
  }
  return hashes;
}

/// Words of a file: the narrowest unsigned type that holds the format.
void add_words(CaptureFile& file, const std::string& name, std::vector<std::size_t> shape,
               const std::vector<std::uint32_t>& words, int bits) {
  if (bits == 8)
    file.add(name, shape, std::vector<std::uint8_t>(words.begin(), words.end()));
  else if (bits == 16)
    file.add(name, shape, std::vector<std::uint16_t>(words.begin(), words.end()));
  else
    file.add(name, shape, words);
}

template <class Instruction>
void capture_tiles(const Options& options, bool chained) {
  constexpr numerics::Format in = numerics::format(Instruction::input);
  constexpr numerics::Format out = numerics::format(Instruction::accumulator);
  constexpr int k = kElements<Instruction>;
  const evidence::SeededTiles source{options.seed, k, chained};
  const std::uint32_t tiles = chained ? kChainTiles : kRandomTiles;
  const Lengths& lengths = chained ? kChain : kSingle;
  const std::vector<std::uint32_t> d = run<Instruction>(source, tiles, lengths);

  CaptureFile file({{"program", chained ? "chains" : "steps"},
                    {"instruction", Instruction::name},
                    {"tiles", std::to_string(tiles)},
                    {"seed", std::to_string(options.seed)}});
  const auto count = static_cast<std::size_t>(lengths.count);
  file.add("lengths", {count},
           std::vector<std::uint32_t>(lengths.length, lengths.length + lengths.count));
  file.add("hashes", {count, tiles}, tile_hashes(d, tiles));
  const std::uint32_t cases = tiles * evidence::kTileCases;
  const std::uint32_t samples = chained ? kChainSampleRows : kSampleRows;
  std::vector<std::uint32_t> numbers, words, a, b, c;
  // An odd stride visits all rows, columns and spreads.
  for (std::uint32_t i = 0; i < samples; ++i)
    numbers.push_back(static_cast<std::uint32_t>(std::uint64_t{i} * (cases / samples + 1) % cases));
  for (std::size_t l = 0; l < count; ++l)
    for (const std::uint32_t i : numbers) words.push_back(d[l * cases + i]);
  file.add("case", {samples}, numbers);
  add_words(file, "d", {count, samples}, words, out.bits);
  if (!chained) {
    for (const std::uint32_t i : numbers) {
      const std::uint32_t tile = i / evidence::kTileCases;
      const int row = static_cast<int>(i % evidence::kTileCases) / evidence::kTileColumns;
      const int column = static_cast<int>(i % evidence::kTileColumns);
      for (int e = 0; e < k; ++e) {
        a.push_back(source.a(in, tile, 0, row, e));
        b.push_back(source.b(in, tile, 0, column, e));
      }
      c.push_back(source.c(out, tile, row, column));
    }
    add_words(file, "a", {samples, static_cast<std::size_t>(k)}, a, in.bits);
    add_words(file, "b", {samples, static_cast<std::size_t>(k)}, b, in.bits);
    add_words(file, "c", {samples}, c, out.bits);
  }
  file.write(options.out + (chained ? "/chains_" : "/steps_") + Instruction::name + ".safetensors");
}

template <class Instruction>
void capture_deciders(const Options& options) {
  constexpr numerics::Format in = numerics::format(Instruction::input);
  constexpr numerics::Format out = numerics::format(Instruction::accumulator);
  constexpr int k = kElements<Instruction>;
  std::vector<std::uint32_t> a, b, c;
  for (const evidence::Decider& row : evidence::kDeciders) {
    if (row.instruction != Instruction::name) continue;
    const evidence::DeciderOperands operands = evidence::operands(row, in.bits, k);
    a.insert(a.end(), operands.a.begin(), operands.a.end());
    b.insert(b.end(), operands.b.begin(), operands.b.end());
    c.push_back(operands.c);
  }
  if (c.empty()) return;
  const std::size_t rows = c.size();
  const DeviceArray<std::uint32_t> device_a(a), device_b(b), device_c(c);
  const std::vector<std::uint32_t> all =
      run<Instruction>(GivenRows{device_a.data(), device_b.data(), device_c.data(), k},
                       static_cast<std::uint32_t>(rows), kSingle);
  std::vector<std::uint32_t> d;
  for (std::size_t i = 0; i < rows; ++i) d.push_back(all[i * evidence::kTileCases]);
  CaptureFile file({{"program", "rows"}, {"instruction", Instruction::name}});
  add_words(file, "a", {rows, static_cast<std::size_t>(k)}, a, in.bits);
  add_words(file, "b", {rows, static_cast<std::size_t>(k)}, b, in.bits);
  add_words(file, "c", {rows}, c, out.bits);
  add_words(file, "d", {rows}, d, out.bits);
  file.write(options.out + "/rows_" + Instruction::name + ".safetensors");
}

template <class Instruction>
void capture(const Options& options) {
  require_right_layout<Instruction>();
  capture_tiles<Instruction>(options, false);
  if (numerics::format(Instruction::input).kind != numerics::Kind::integer)
    capture_tiles<Instruction>(options, true);
  capture_deciders<Instruction>(options);
  std::printf("%s\n", Instruction::name);
}

}  // namespace
}  // namespace karat::capture

int main(int argc, char** argv) {
  using namespace karat::capture;
  const Options options = parse_options(argc, argv);
  capture<WgmmaE4m3F32>(options);
  capture<WgmmaE5m2F32>(options);
  capture<WgmmaE4m3F16>(options);
  capture<WgmmaE5m2F16>(options);
  capture<WgmmaBf16F32>(options);
  capture<WgmmaF16F32>(options);
  capture<WgmmaF16F16>(options);
  capture<WgmmaTf32F32>(options);
  capture<WgmmaS8S32>(options);
  capture<MmaE4m3F32>(options);
  capture<MmaE5m2F32>(options);
  capture<MmaE4m3F16>(options);
  capture<MmaE5m2F16>(options);
}
