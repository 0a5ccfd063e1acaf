// The pipeline of attention CTAs on one SM: loads, matrix instructions in turn, softmax, epilogue.
// Overlap is what comes out; nothing here says how much there is.
#include "sm.hpp"

#include <algorithm>
#include <deque>

#include "durations.hpp"
#include "gradients.hpp"
#include "units.hpp"

namespace karat::hopper {
namespace {

/// A consumer warpgroup, or all of a CTA in lockstep.
struct Actor {
  double ready = 0;    ///< it may issue the next QK
  double pv_done = 0;  ///< of the last PV issued
};

struct Cta {
  int index = 0;
  std::vector<Actor> actors;
  double loads_from = 0;  ///< the producer may ask for this tile from here on
  double sent = 0;        ///< last request of the producer
  double q_full = 0, k_full = 0, v_full = 0, q_free = 0, stored = 0;
  double transposed = 0;              ///< last V the producer wrote back
  std::deque<double> k_free, v_free;  ///< of the last `stages` blocks
  std::vector<double> tile_end, block_begin;
};

class Sm : Units {
 public:
  Sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
     int residents, double masked_share, std::vector<Slice>* trace)
      : Units(machine, timing, plan, supply, trace),
        d_(durations(machine, timing, plan, supply, residents, masked_share)) {
    for (int i = 0; i < residents; ++i) {
      Cta cta{.index = i, .actors = std::vector<Actor>(d_.actors)};
      cta.k_free.assign(p_.stages, 0.0);
      cta.v_free.assign(p_.stages, 0.0);
      ctas_.push_back(std::move(cta));
    }
  }

  SmRun run(std::span<const TileWork> tiles) {
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      for (Cta& cta : ctas_) begin_tile(cta, i == 0);
      for (int j = 0; j < tiles[i].blocks; ++j) block(tiles[i], j);
      if (p_.overlap == Overlap::previous_pv) {
        for (Cta& cta : ctas_) load_v(cta, tiles[i].blocks - 1);
      }
      for (Cta& cta : ctas_) end_tile(cta, tiles[i].blocks);
    }
    SmRun out{.tile_end = ctas_[0].tile_end,
              .block_begin = ctas_[0].block_begin,
              .busy = busy_,
              .events = events_};
    for (const Cta& cta : ctas_) out.end = std::max(out.end, cta.stored);
    return out;
  }

 private:
  /// A load that the producer may ask for from `ready` on.
  double load(Cta& cta, double ready, double bytes, double shared, double miss, double written,
              int block, const char* label) {
    return Units::load(cta.sent, std::max(ready, cta.loads_from), bytes, shared, miss, written,
                       {cta.index, p_.warpgroups, block}, label);
  }

  double kv_shared() const { return p_.multicast == Multicast::pairs ? 0.5 : 1; }

  void load_k(Cta& cta, int j) {
    cta.k_full = load(cta, cta.k_free.front(), d_.k_bytes, kv_shared(), s_.kv_miss, d_.k_written, j,
                      "load K");
  }
  void load_v(Cta& cta, int j) {
    double ready = cta.v_free.front();
    if (j == 0) ready = std::max(ready, cta.stored);  // O is staged where V goes
    cta.v_full = load(cta, ready, d_.v_bytes, kv_shared(), s_.kv_miss, d_.v_written, j, "load V");
    if (p_.v_transpose == VTranspose::none) return;
    const Who w{cta.index, p_.warpgroups, j};
    const double begin = std::max(cta.v_full, cta.transposed);
    use(UnitId::smem, begin, d_.transpose_smem, w, "transpose V");
    use(UnitId::alu, begin, d_.transpose_alu, w, "transpose V");
    cta.transposed = begin + d_.transpose + t_.barrier_arrive;
    cta.v_full = cta.transposed;
    show(w, begin, cta.transposed, "transpose V");
  }

  /// Fetching the next tile's number, and with varying lengths searching for its sequence.
  double tile_fetch() const {
    if (p_.lengths == Lengths::varying) return t_.varlen_tile;
    return draws_tiles(p_) ? t_.dynamic_tile : 0;
  }

  void begin_tile(Cta& cta, bool first) {
    const bool fresh = first || p_.residency == Residency::one_per_tile;
    if (fresh) cta.loads_from = cta.stored + t_.cta_start;
    for (Actor& actor : cta.actors) {
      actor.ready = std::max(actor.ready, cta.loads_from) + tile_fetch();
    }
    cta.block_begin.clear();
  }

  void load_q(Cta& cta) {
    cta.q_full = load(cta, cta.q_free, d_.q_bytes, 1, s_.q_miss, d_.q_written, 0, "load Q");
  }

  void issue_pv(Cta& cta, int group, int j) {
    Actor& actor = cta.actors[group];
    const double ready = std::max(actor.ready, cta.v_full + t_.barrier_wait);
    actor.pv_done = matrix(ready, d_.pv, d_.pv_busy, {cta.index, group, j}, "PV");
  }

  void softmax(Cta& cta, int group, const TileWork& tile, int j, double scores) {
    Actor& actor = cta.actors[group];
    const Who w{cta.index, group, j};
    double now = std::max(scores, alu_free_);
    const double masked = tile.masked_share * d_.mask.clocks;
    use(UnitId::alu, now, d_.maximum.alu + tile.masked_share * d_.mask.alu, w, "row max");
    use(UnitId::fp32, now, d_.maximum.fp32, w, "scale");
    use(UnitId::convert, now, d_.maximum.convert, w, "scale");
    use(UnitId::ports, now, d_.maximum.ports + tile.masked_share * d_.mask.ports, w, "row max");
    alu_free_ = now + d_.maximum.alu + tile.masked_share * d_.mask.alu;
    now += d_.maximum.clocks + masked + 2 * t_.shuffle;
    show(w, scores, now, "row max");
    double begin = now;
    now = std::max(now, mufu_free_);
    use(UnitId::mufu, now, d_.exponent.mufu, w, "exp2");
    use(UnitId::fp32, now, d_.exponent.fp32, w, "softmax");
    use(UnitId::ports, now, d_.exponent.ports, w, "exp2");
    mufu_free_ = now + d_.exponent.mufu;
    now += d_.exponent.clocks;
    show(w, begin, now, "exp2");
    begin = now;
    if (p_.overlap == Overlap::previous_pv && j > 0) {
      now = std::max(now, actor.pv_done + t_.barrier_arrive);
      now = promote(w, now);
      free_v(cta, group, now);
      show(w, begin, now, "wait PV");
      begin = now;
    }
    now = std::max(now, convert_free_);
    use(UnitId::convert, now, d_.probabilities.convert, w, "convert P");
    use(UnitId::ports, now, d_.probabilities.ports, w, "convert P");
    use(UnitId::smem, now, d_.probabilities.smem, w, "write P");
    convert_free_ = now + d_.probabilities.convert;
    now += d_.probabilities.clocks;
    if (p_.p_path == PPath::shared_memory) now += t_.smem_latency + t_.barrier_arrive;
    if (j > 0) {
      use(UnitId::fp32, now, d_.rescale.fp32, w, "rescale O");
      use(UnitId::ports, now, d_.rescale.ports, w, "rescale O");
      now += d_.rescale.clocks;
    }
    show(w, begin, now, "convert P");
    actor.ready = now;
  }

  double promote(Who w, double now) {
    use(UnitId::fp32, now, d_.promote, w, "promote");
    return now + d_.promote;
  }

  /// Called by the actors of a CTA in order; the last one frees the stage.
  void free_k(Cta& cta, int group, double time) {
    k_freed_ = group == 0 ? time : std::max(k_freed_, time);
    if (group + 1 < d_.actors) return;
    cta.k_free.pop_front();
    cta.k_free.push_back(k_freed_);
  }
  void free_v(Cta& cta, int group, double time) {
    v_freed_ = group == 0 ? time : std::max(v_freed_, time);
    if (group + 1 < d_.actors) return;
    cta.v_free.pop_front();
    cta.v_free.push_back(v_freed_);
  }

  /// Waits for PV(j) of a plan that does nothing meanwhile.
  void finish_pv(Cta& cta, int group, int j) {
    Actor& actor = cta.actors[group];
    actor.ready = promote({cta.index, group, j}, actor.pv_done + t_.barrier_arrive);
    free_v(cta, group, actor.ready);
  }

  /// Block j of all CTAs: every actor's QK in turn and, beside it, PV of the block before. Without
  /// overlap an actor issues PV(j-1), waits, and issues QK(j); where three or more share the SM,
  /// the next one's PV fills that gap.
  void block(const TileWork& tile, int j) {
    const bool overlap = p_.overlap == Overlap::previous_pv;
    for (Cta& cta : ctas_) {
      load_k(cta, j);
      if (j == 0) load_q(cta);
      if (overlap && j > 0) load_v(cta, j - 1);
    }
    const int customers = static_cast<int>(ctas_.size()) * d_.actors;
    const auto pv = [&](int customer) {
      if (overlap || j == 0 || customer >= customers) return;
      Cta& cta = ctas_[customer / d_.actors];
      issue_pv(cta, customer % d_.actors, j - 1);
      finish_pv(cta, customer % d_.actors, j - 1);
    };
    const int ahead = customers >= 3 ? 1 : 0;
    for (int i = 0; i < ahead; ++i) pv(i);
    for (int customer = 0; customer < customers; ++customer) {
      pv(customer + ahead);
      qk_and_softmax(ctas_[customer / d_.actors], customer % d_.actors, tile, j);
    }
    if (!overlap) {
      for (Cta& cta : ctas_) load_v(cta, j);
    }
  }

  void qk_and_softmax(Cta& cta, int group, const TileWork& tile, int j) {
    Actor& actor = cta.actors[group];
    const Who w{cta.index, group, j};
    double ready = std::max({actor.ready, cta.k_full, cta.q_full}) + t_.barrier_wait;
    // Whoever reads the list keeps its CTA from issuing.
    if (group == 0) ready = std::max(ready, tensor_free_) + s_.listed * t_.list_read;
    if (group == 0 && p_.multicast == Multicast::pairs && j > 0) ready += t_.cluster_wait;
    if (p_.turns == Turns::ping_pong && j > 0) ready += t_.barrier_wait;
    show(w, actor.ready, ready, "wait");
    if (group == 0) cta.block_begin.push_back(std::max(ready, tensor_free_));
    use(UnitId::smem, ready, d_.matrix_smem, w, "operands");
    use(UnitId::ports, ready, d_.matrix_ports, w, "accumulate");
    const double scores = matrix(ready, d_.qk, d_.qk_busy, w, "QK") + t_.barrier_arrive;
    show(w, ready, scores, "QK");
    if (p_.overlap == Overlap::previous_pv && j > 0) issue_pv(cta, group, j - 1);
    free_k(cta, group, scores);
    softmax(cta, group, tile, j, scores);
  }

  void end_tile(Cta& cta, int blocks) {
    double all = 0;
    for (int group = 0; group < d_.actors; ++group) {
      Actor& actor = cta.actors[group];
      cta.q_free = group == 0 ? actor.ready : std::max(cta.q_free, actor.ready);
      issue_pv(cta, group, blocks - 1);
      finish_pv(cta, group, blocks - 1);
      const Who w{cta.index, group, blocks - 1};
      use(UnitId::fp32, actor.ready, d_.finish.fp32, w, "finish");
      use(UnitId::convert, actor.ready, d_.finish.convert, w, "finish");
      use(UnitId::ports, actor.ready, d_.finish.ports, w, "finish");
      const double begin = actor.ready;
      actor.ready += 2 * t_.shuffle + d_.finish.fp32 + d_.finish.convert;
      all = std::max(all, actor.ready);
      show(w, begin, actor.ready, "finish");
    }
    // O is staged where V was: nobody writes before everybody has read V.
    double written = all + t_.barrier_arrive;
    for (int group = 0; group < d_.actors; ++group) {
      const Who w{cta.index, group, blocks - 1};
      use(UnitId::smem, written, d_.finish.smem, w, "finish");
      written += d_.finish.smem;
    }
    written += t_.smem_latency + t_.barrier_arrive;
    for (Actor& actor : cta.actors) actor.ready = written;
    const Who w{cta.index, p_.warpgroups, blocks - 1};
    const double ready = written + t_.barrier_wait + t_.tma_latency;
    use(UnitId::smem, ready, d_.o_bytes / m_.smem_bytes_per_clk, w, "store O");
    cta.stored =
        std::max(transfer(ready, d_.o_bytes, d_.o_bytes, d_.o_bytes * s_.o_miss, w, "store O"),
                 ready + d_.o_bytes / m_.smem_bytes_per_clk);
    // Without TMA the consumers write O themselves.
    if (p_.lengths == Lengths::varying) {
      cta.stored += double(p_.block_q) * p_.tile_dim * p_.o_bytes / 1024 * t_.varlen_store;
      for (Actor& actor : cta.actors) actor.ready = cta.stored;
    }
    cta.tile_end.push_back(cta.stored);
  }

  const Durations d_;
  std::vector<Cta> ctas_;
  double k_freed_ = 0, v_freed_ = 0;
};

}  // namespace

SmRun run_sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
             int residents, std::span<const TileWork> tiles, std::vector<Slice>* trace) {
  const double masked = tiles.empty() ? 0 : tiles.front().masked_share;
  if (plan.pass != Pass::forward)
    return run_gradients(machine, timing, plan, supply, residents, tiles, trace);
  return Sm(machine, timing, plan, supply, residents, masked, trace).run(tiles);
}

}  // namespace karat::hopper
