// A consumer warpgroup: issues both products and does the softmax between them.
#include "processes.hpp"

namespace karat::hopper {

namespace {
constexpr double kChunkColumns = 16;  // columns of S a warpgroup handles between two looks around
// A selection per score of a masked block; its columns share the comparison.
constexpr double kMaskOps = 1;
}  // namespace

Process Sm::consumer(Cta& cta, int group) {
  const int groups = p_.warpgroups;
  const double dims = p_.tile_dim;
  const double columns = p_.block_k;
  std::int64_t k_seen = 0, v_seen = 0, pv_issued = 0, turn = 0;
  for (std::size_t tile = 0; tile < cta.tiles.size(); ++tile) {
    const TileWork work = cta.tiles[tile];
    co_await cta.q_full.reaches(static_cast<std::int64_t>(tile) + 1);
    co_await engine_.delay(t_.barrier_wait);
    if (group == 0) cta.block_begin.clear();
    for (int j = 0; j < work.blocks; ++j) {
      const Who w{cta.index, group, j};
      double begin = engine_.now();
      co_await cta.k_full.reaches(k_seen + 1);
      co_await engine_.delay(t_.barrier_wait);
      const bool turns = p_.turns == Turns::ping_pong && j > 0;
      if (turns) {
        co_await cta.turn.reaches(turn * groups + group);
        co_await engine_.delay(t_.barrier_wait);
      }
      phase(w, begin, "wait");
      if (group == 0) cta.block_begin.push_back(engine_.now());
      begin = engine_.now();
      issue_qk(cta, w);
      const bool previous = p_.overlap == Overlap::previous_pv && j > 0;
      if (previous) {
        co_await cta.v_full.reaches(v_seen + 1);
        issue_pv(cta, {cta.index, group, j - 1});
        ++pv_issued;
      }
      if (turns) {
        cta.turn.add();
        ++turn;
      }
      co_await cta.qk_done[group].reaches(++k_seen);
      co_await engine_.delay(t_.barrier_arrive);
      cta.k_free.add();
      phase(w, begin, "QK");

      begin = engine_.now();
      for (double c = 0; c < columns; c += kChunkColumns) {
        const double scores = rows_ * std::min(kChunkColumns, columns - c);
        double end = alu(scores * (1 + kMaskOps * work.masked_share), w, "row max");
        if (p_.extra_per_score > 0)
          end = std::max(end, fp32(scores * p_.extra_per_score, w, "scale"));
        if (p_.score_conversions > 0) end = std::max(end, convert(scores, w, "scale"));
        co_await engine_.until(end);
      }
      co_await engine_.delay(2 * t_.shuffle);
      phase(w, begin, "row max");
      begin = engine_.now();
      for (double c = 0; c < columns; c += kChunkColumns) {
        const double scores = rows_ * std::min(kChunkColumns, columns - c);
        const double fused = fp32(scores * 2, w, "softmax");
        co_await engine_.until(std::max(fused, exp2(scores, w, "exp2")));
      }
      phase(w, begin, "exp2");
      begin = engine_.now();
      if (previous) {
        co_await cta.pv_done[group].reaches(pv_issued);
        co_await engine_.delay(t_.barrier_arrive);
        cta.v_free.add();
        ++v_seen;
        co_await engine_.until(promote(w));
        phase(w, begin, "wait PV");
        begin = engine_.now();
      }
      for (double c = 0; c < columns; c += kChunkColumns) {
        const double scores = rows_ * std::min(kChunkColumns, columns - c);
        double end = convert(scores, w, "convert P");
        if (p_.p_path == PPath::shared_memory) {
          end = std::max(end, smem(scores * pv_bytes_, w, "write P"));
        }
        co_await engine_.until(end);
      }
      if (p_.p_path == PPath::shared_memory)
        co_await engine_.delay(t_.smem_latency + t_.barrier_arrive);
      if (j > 0) co_await engine_.until(fp32(rows_ * dims, w, "rescale O"));
      phase(w, begin, "convert P");
      const bool last = j + 1 == work.blocks;
      if (p_.overlap == Overlap::none || last) {
        begin = engine_.now();
        if (p_.overlap == Overlap::previous_pv) cta.q_free.add();
        co_await cta.v_full.reaches(v_seen + 1);
        co_await engine_.delay(t_.barrier_wait);
        issue_pv(cta, w);
        co_await cta.pv_done[group].reaches(++pv_issued);
        co_await engine_.delay(t_.barrier_arrive);
        cta.v_free.add();
        ++v_seen;
        co_await engine_.until(promote(w));
        phase(w, begin, "PV");
      }
    }
    const Who w{cta.index, group, work.blocks - 1};
    const double begin = engine_.now();
    if (p_.overlap == Overlap::none) cta.q_free.add();
    co_await engine_.delay(2 * t_.shuffle);
    co_await engine_.until(fp32(rows_ * dims, w, "finish"));
    co_await engine_.until(convert(rows_ * dims, w, "finish"));
    // O is staged where V was: nobody writes before everybody has read V.
    cta.v_read.add();
    co_await cta.v_read.reaches(static_cast<std::int64_t>(tile + 1) * groups);
    co_await engine_.delay(t_.barrier_arrive);
    co_await engine_.until(smem(rows_ * dims * 2, w, "finish"));
    co_await engine_.delay(t_.smem_latency + t_.barrier_arrive);
    phase(w, begin, "finish");
    cta.o_written.add();
  }
}

}  // namespace karat::hopper
