// wgmma through registers and shared memory beside the packed chain it runs, in the same run:
// microseconds of processor time an instruction m64n128, four k-steps of a tile at once and one by
// one. "fresh" tiles are packed, "again" ones found in the cache.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "units/wgmma.hpp"

namespace {

using namespace karat::ptx::units;
namespace numerics = karat::numerics;

constexpr std::size_t kSteps = 4, kTiles = 16, kRounds = 30, kTileBytes = 128 * 128;

/// Best of several rounds: the machine may be busy.
template <typename Work>
double best_microseconds(Work work) {
  double best = 1e30;
  for (std::size_t round = 0; round < kRounds; ++round) {
    const std::clock_t start = std::clock();
    for (std::size_t tile = 0; tile < kTiles; ++tile) work(round, tile);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    best = std::min(best, seconds * 1e6 / (kTiles * kSteps));
  }
  return best;
}

/// Whole tiles of the 128-byte swizzle behind each other, random codes without NaN.
struct Setting {
  std::vector<std::byte> memory = std::vector<std::byte>((kTiles + 1) * kTileBytes);
  std::vector<std::uint32_t> words = std::vector<std::uint32_t>(4 * 64 * 32 + kSteps * 16 * 32);
  std::vector<std::uint32_t*> registers;

  Setting() {
    std::mt19937 random(1);
    for (auto& x : memory) x = static_cast<std::byte>(random() & 0xB7);
    for (auto& x : words) x = random() & 0x37373737;
    for (std::size_t i = 0; i < words.size() / 32; ++i) registers.push_back(&words[32 * i]);
  }
  WgmmaOperands operands() const {
    WgmmaOperands o{.d = {}, .start = numerics::Start::absent};
    for (std::size_t w = 0; w < 4; ++w) o.d[w] = std::span(registers).subspan(64 * w, 64);
    return o;
  }
  std::vector<WgmmaStep> steps(std::size_t tile, std::span<const std::uint32_t* const> a) const {
    std::vector<WgmmaStep> all(kSteps);
    MatrixDescriptor d{.leading = 16, .stride = 1024, .swizzle = MatrixSwizzle::bytes128};
    for (std::size_t s = 0; s < kSteps; ++s) {
      d.start = static_cast<std::uint32_t>(32 * s);
      all[s].a_descriptor = bits(d);
      d.start = static_cast<std::uint32_t>((tile + 1) * kTileBytes % (1 << 17) + 32 * s);
      all[s].b_descriptor = bits(d);
      for (std::size_t w = 0; w < 4; ++w) all[s].a[w] = a.subspan(16 * s + 4 * w, 4);
    }
    return all;
  }
};

void measure(const std::string& type, MatrixSource source, std::vector<int> immediates) {
  const std::string k = type == "e4m3" ? "32" : "16";
  const WgmmaOp op =
      wgmma_op("wgmma.mma_async.sync.aligned.m64n128k" + k + ".f32." + type + "." + type, source,
               immediates);
  Setting setting;
  const std::vector<const std::uint32_t*> a(setting.registers.begin() + 256,
                                            setting.registers.end());
  const WgmmaOperands o = setting.operands();
  const SharedMemory memory{setting.memory, 0};
  const auto run = [&](Wgmma& unit, std::size_t tile, std::size_t at_once) {
    const std::vector<WgmmaStep> steps = setting.steps(tile, a);
    WgmmaOperands now = o;
    for (std::size_t s = 0; s < kSteps; s += at_once) {
      unit.run(op, now, std::span(steps).subspan(s, at_once), memory);
      now.start = numerics::Start::from_d;
    }
  };
  Wgmma fresh({.cache_bytes = 0}), again({.cache_bytes = std::size_t{256} << 20});
  const double all_fresh = best_microseconds([&](auto, auto tile) { run(fresh, tile, kSteps); }),
               all_again =
                   best_microseconds([&](auto, auto tile) { run(again, tile % 2, kSteps); }),
               one_again = best_microseconds([&](auto, auto tile) { run(again, tile % 2, 1); });

  const auto depth = static_cast<std::size_t>(op.k) * kSteps;
  std::vector<float> x(64 * depth, 1.25f), y(128 * depth, -0.75f), d(64 * 128);
  numerics::RowOperand rows;
  numerics::ColumnOperand columns;
  rows.pack(*op.row, numerics::row_major<const float>(x.data(), 64, depth));
  columns.pack(*op.row, numerics::row_major<const float>(y.data(), 128, depth));
  const double chain = best_microseconds([&](auto, auto) {
    numerics::chain(*op.row, rows, columns, numerics::Start::absent,
                    numerics::row_major(d.data(), 64, 128));
  });
  std::printf(
      "%-5s %-9s  chain %6.2f   steps at once: again %6.2f, fresh %6.2f   one by one %6.2f us\n",
      type.c_str(), source == MatrixSource::shared ? "shared" : "registers", chain, all_again,
      all_fresh, one_again);
}

}  // namespace

int main() {
  measure("e4m3", MatrixSource::shared, {1, 1});
  measure("e4m3", MatrixSource::registers, {1, 1});
  measure("bf16", MatrixSource::shared, {1, 1, 0, 0});
  measure("bf16", MatrixSource::registers, {1, 1, 0});
}
