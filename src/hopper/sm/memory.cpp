// What moves tensors: the producer warpgroup, TMA loads, the transpose of V, the store of O.
#include "processes.hpp"

namespace karat::hopper {

namespace {
constexpr double kLoadChunk = 8192;  // bytes of a load served at a time
}  // namespace

/// A TMA load: latency, then chunks at the SM's share of HBM and L2, written to shared memory.
/// @param real share of the rows that exist; the rest is zeros, written but not fetched
Process Sm::load(double rows, double real, double element_bytes, double miss, Count& full, Who w,
                 const char* label) {
  const double bytes = rows * real * p_.head_dim * element_bytes;
  const double smem_bytes = rows * p_.tile_dim * element_bytes;
  co_await engine_.delay(t_.tma_latency + t_.hbm_latency);
  const double chunks = std::ceil(bytes / kLoadChunk);
  const bool aligned = std::fmod(p_.head_dim * qk_bytes_, 32) == 0;
  for (double i = 0; i < chunks; ++i) {
    const double l2 = serve(UnitId::l2, bytes / chunks / supply_.l2_bytes_per_clk, w, label);
    const double hbm =
        serve(UnitId::hbm, bytes * miss / chunks / supply_.hbm_bytes_per_clk, w, label);
    co_await engine_.until(std::max(l2, hbm));
    const double written =
        smem(smem_bytes / chunks * (aligned ? 1 : t_.misaligned_passes), w, label);
    if (i + 1 == chunks) co_await engine_.until(written);
  }
  full.add();
}

Process Sm::producer(Cta& cta) {
  const int groups = p_.warpgroups;
  const bool transposes = p_.v_transpose == VTranspose::in_kernel;
  Count& v_landed = transposes ? cta.v_raw : cta.v_full;
  Count& v_empty = transposes ? cta.v_raw_free : cta.v_free;
  const int v_readers = transposes ? 1 : groups;
  const auto who = [&](int block) { return Who{cta.index, groups, block}; };
  std::int64_t k_sent = 0, v_sent = 0;
  co_await engine_.delay(t_.cta_start);
  for (std::size_t tile = 0; tile < cta.tiles.size(); ++tile) {
    if (p_.residency == Residency::one_per_tile && tile > 0) {
      co_await cta.stored.reaches(static_cast<std::int64_t>(tile));
      co_await engine_.delay(t_.cta_start);
    }
    const int blocks = cta.tiles[tile].blocks;
    for (int j = 0; j <= blocks; ++j) {
      if (j < blocks) {
        co_await cta.k_free.reaches((k_sent + 1 - p_.stages) * groups);
        co_await engine_.delay(t_.tma_issue + supply_.listed * t_.l2_latency);
        engine_.spawn(load(p_.block_k, supply_.kv_real, qk_bytes_, supply_.kv_miss, cta.k_full,
                           who(j), "load K"));
        ++k_sent;
      }
      if (j == 0) {
        co_await cta.q_free.reaches(static_cast<std::int64_t>(tile) * groups);
        co_await engine_.delay(t_.tma_issue);
        engine_.spawn(load(p_.block_q, supply_.q_real, qk_bytes_, supply_.q_miss, cta.q_full,
                           who(0), "load Q"));
      }
      if (j > 0) {
        if (j == 1) co_await cta.stored.reaches(static_cast<std::int64_t>(tile));
        co_await v_empty.reaches((v_sent + 1 - p_.stages) * v_readers);
        co_await engine_.delay(t_.tma_issue);
        engine_.spawn(load(p_.block_k, supply_.kv_real, pv_bytes_, supply_.kv_miss, v_landed,
                           who(j - 1), "load V"));
        ++v_sent;
      }
    }
  }
}

/// FP8 wants V with keys contiguous: the producer warpgroup reads, permutes bytes and writes back.
Process Sm::transpose_v(Cta& cta) {
  std::int64_t total = 0;
  for (const TileWork& tile : cta.tiles) total += tile.blocks;
  const double bytes = double(p_.block_k) * p_.tile_dim;
  const int parts = std::max(1, static_cast<int>(bytes / kLoadChunk));
  for (std::int64_t i = 0; i < total; ++i) {
    const Who w{cta.index, p_.warpgroups, static_cast<int>(i)};
    co_await cta.v_raw.reaches(i + 1);
    co_await cta.v_free.reaches((i + 1 - p_.stages) * p_.warpgroups);
    const double begin = engine_.now();
    for (int part = 0; part < parts; ++part) {
      co_await engine_.until(smem(bytes / parts, w, "transpose V"));
      // Two byte permutations per word moved.
      co_await engine_.until(alu(bytes / parts / 4 * 2, w, "transpose V"));
      co_await engine_.until(smem(bytes / parts, w, "transpose V"));
    }
    phase(w, begin, "transpose V");
    co_await engine_.delay(t_.barrier_arrive);
    cta.v_raw_free.add();
    cta.v_full.add();
  }
}

/// The TMA store of O; the next tile's V may only land once it has read shared memory.
Process Sm::store(Cta& cta) {
  const double bytes = double(p_.block_q) * supply_.q_real * p_.head_dim * 2;
  for (std::size_t tile = 0; tile < cta.tiles.size(); ++tile) {
    co_await cta.o_written.reaches(static_cast<std::int64_t>(tile + 1) * p_.warpgroups);
    const Who w{cta.index, p_.warpgroups, static_cast<int>(tile)};
    co_await engine_.delay(t_.barrier_wait + t_.tma_latency);
    const double read = smem(bytes, w, "store O");
    const double l2 = serve(UnitId::l2, bytes / supply_.l2_bytes_per_clk, w, "store O");
    serve(UnitId::hbm, bytes / supply_.hbm_bytes_per_clk, w, "store O");
    co_await engine_.until(std::max(read, l2));
    cta.stored.add();
    cta.tile_end.push_back(engine_.now());
  }
}

}  // namespace karat::hopper
