// One order of service as in sm.cpp, so that the same properties hold.
#include "gradients.hpp"

#include <algorithm>
#include <deque>

#include "operations.hpp"
#include "units.hpp"

namespace karat::hopper {
namespace {

/// A product of one warpgroup: clocks on the tensor core, and those of its instructions alone.
struct Step {
  double clocks = 0, busy = 0;
};

struct GradientDurations {
  int actors = 1;
  Step s, dp, dv, dq, dk;  ///< zero where the pass does not compute it
  double ports = 0, smem = 0;
  Phase mask, exponent, gradient, finish;
  double staged = 0;       ///< dS written to shared memory
  double dq_written = 0;   ///< dQ of a block to shared memory, by one warpgroup
  double outer_bytes = 0;  ///< each of the two outer operands
  double inner_bytes = 0;  ///< each of the two inner ones
  double dq_bytes = 0;     ///< FP32 sums added to memory per inner block
  double out_bytes = 0;    ///< what the outer block writes at its end
  double outer_written = 0, inner_written = 0;  ///< to shared memory, clocks
};

GradientDurations gradient_durations(const Machine& m, const Timing& t, const Plan& p,
                                     const Supply& s) {
  GradientDurations d;
  d.actors = p.warpgroups;
  const bool sync = p.matrix_path == MatrixPath::mma_sync;
  const bool keys = p.keys_outside(), sums = p.pass == Pass::gradients;
  const double outer = double(p.outer()) / d.actors, inner = p.inner(), dim = p.tile_dim;
  const double scores = outer * inner;
  const auto add = [&](Step& step, double rows, double depth, double columns, double a_rows) {
    const Product x = product(m, t, p, Element::bf16, rows, depth, columns, sync ? rows : a_rows);
    step = {x.clocks, x.clocks};
    d.ports += x.ports, d.smem += x.smem;
  };
  // Scores stand with the outer rows: P and dS are the left operands of dV and dK, in registers.
  add(d.s, outer, dim, inner, outer);
  add(d.dp, outer, dim, inner, outer);
  const double left = p.p_path == PPath::registers ? 0 : outer;
  if (keys) {
    add(d.dv, outer, inner, dim, left);
    add(d.dk, outer, inner, dim, left);
  } else {
    add(d.dq, outer, inner, dim, left);
  }
  // dQ sums over the outer rows of all warpgroups, who divide its channels among them.
  if (sums) add(d.dq, dim / d.actors, p.outer(), inner, dim / d.actors);

  d.mask = phase(m, t, t.mask_ops * scores, 0, 0, 0);
  d.exponent = phase(m, t, 0, scores, scores, scores);
  d.gradient = phase(m, t, 0, 0, 2 * scores, scores);
  const double results = keys ? 2 : 1;  // dK and dV, or dQ
  d.finish = phase(m, t, 0, 0, outer * dim, results * outer * dim);
  d.finish.smem = results * outer * dim * 2 / m.smem_bytes_per_clk;
  const double copies = left > 0 ? 2 : 1;  // P too where it passes through shared memory
  if (sums || left > 0) d.staged = copies * scores * 2 / m.smem_bytes_per_clk;

  d.outer_bytes = p.outer() * s.q_real * p.head_dim * 2;
  d.inner_bytes = p.inner() * s.kv_real * p.head_dim * 2;
  d.outer_written = p.outer() * dim * 2 / m.smem_bytes_per_clk;
  d.inner_written = p.inner() * dim * 2 / m.smem_bytes_per_clk;
  d.out_bytes = results * d.outer_bytes;
  if (sums) {
    d.dq_bytes = p.inner() * s.kv_real * p.head_dim * 4;
    d.dq_written = p.inner() * dim * 4 / m.smem_bytes_per_clk / d.actors;
  }

  // Register ports and shared memory as bounds on the matrix instructions, as in the forward.
  const double clocks = d.s.busy + d.dp.busy + d.dv.busy + d.dq.busy + d.dk.busy;
  const double loads = 2 * d.inner_written / d.actors;
  const double smem = d.smem + loads + d.staged + 2 * d.dq_written;  // TMA reads dQ once more
  const double stretch = std::max({clocks, d.ports, smem}) / clocks;
  for (Step* step : {&d.s, &d.dp, &d.dv, &d.dq, &d.dk}) step->clocks *= stretch;
  return d;
}

struct GradientActor {
  double ready = 0, s_done = 0, dp_done = 0, dv_done = 0;
};

struct GradientCta {
  int index = 0;
  std::vector<GradientActor> actors;
  double loads_from = 0, sent = 0, stored = 0, dq_stored = 0;
  double outer_first = 0, outer_second = 0, inner_first = 0, inner_second = 0;
  std::deque<double> first_free, second_free;  ///< of the last `stages` inner blocks
  std::vector<double> tile_end, block_begin;
};

class GradientSm : Units {
 public:
  GradientSm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
             int residents, std::vector<Slice>* trace)
      : Units(machine, timing, plan, supply, trace),
        d_(gradient_durations(machine, timing, plan, supply)) {
    for (int i = 0; i < residents; ++i) {
      GradientCta cta{.index = i, .actors = std::vector<GradientActor>(d_.actors)};
      cta.first_free.assign(p_.stages, 0.0);
      cta.second_free.assign(p_.stages, 0.0);
      ctas_.push_back(std::move(cta));
    }
  }

  SmRun run(std::span<const TileWork> tiles) {
    for (const TileWork& tile : tiles) {
      for (GradientCta& cta : ctas_) begin_tile(cta);
      for (int j = 0; j < tile.blocks; ++j) block(tile, j);
      for (GradientCta& cta : ctas_) end_tile(cta, tile.blocks);
    }
    SmRun out{.tile_end = ctas_[0].tile_end,
              .block_begin = ctas_[0].block_begin,
              .busy = busy_,
              .events = events_};
    for (const GradientCta& cta : ctas_) out.end = std::max(out.end, cta.stored);
    return out;
  }

 private:
  double load(GradientCta& cta, double ready, double bytes, double miss, double written, int block,
              const char* label) {
    return Units::load(cta.sent, std::max(ready, cta.loads_from), bytes, 1, miss, written,
                       {cta.index, p_.warpgroups, block}, label);
  }

  void begin_tile(GradientCta& cta) {
    cta.loads_from = cta.stored + t_.cta_start;
    for (GradientActor& actor : cta.actors) actor.ready = cta.loads_from;
    cta.outer_first =
        load(cta, 0, d_.outer_bytes, s_.q_miss, d_.outer_written, 0, "load outer block");
    cta.block_begin.clear();
  }

  void block(const TileWork& tile, int j) {
    for (GradientCta& cta : ctas_) {
      cta.inner_first = load(cta, cta.first_free.front(), d_.inner_bytes, s_.kv_miss,
                             d_.inner_written, j, "load inner block");
      if (j == 0)
        cta.outer_second =
            load(cta, 0, d_.outer_bytes, s_.q_miss, d_.outer_written, 0, "load outer block");
      cta.inner_second = load(cta, cta.second_free.front(), d_.inner_bytes, s_.kv_miss,
                              d_.inner_written, j, "load inner block");
    }
    each([&](GradientCta& cta, int g) { scores(cta, g, j); });
    each([&](GradientCta& cta, int g) { softmax(cta, g, tile, j); });
    for (GradientCta& cta : ctas_) meet(cta);
    each([&](GradientCta& cta, int g) { products(cta, g, j); });
    for (GradientCta& cta : ctas_) free_stages(cta, j);
  }

  template <typename Body>
  void each(const Body& body) {
    for (GradientCta& cta : ctas_)
      for (int g = 0; g < d_.actors; ++g) body(cta, g);
  }

  /// S, and dP where it is issued before P is taken.
  void scores(GradientCta& cta, int g, int j) {
    GradientActor& actor = cta.actors[g];
    const Who w{cta.index, g, j};
    double ready = std::max({actor.ready, cta.inner_first, cta.outer_first}) + t_.barrier_wait;
    if (g == 0) ready = std::max(ready, tensor_free_) + s_.listed * t_.list_read;
    if (g == 0) cta.block_begin.push_back(std::max(ready, tensor_free_));
    use(UnitId::smem, ready, d_.smem, w, "operands");
    use(UnitId::ports, ready, d_.ports, w, "accumulate");
    actor.s_done = matrix(ready, d_.s.clocks, d_.s.busy, w, "S") + t_.barrier_arrive;
    show(w, actor.ready, actor.s_done, "S");
    if (p_.overlap == Overlap::dp_beside_exponent) issue_dp(cta, g, j, ready);
  }
  void issue_dp(GradientCta& cta, int g, int j, double ready) {
    GradientActor& actor = cta.actors[g];
    ready = std::max({ready, cta.inner_second + t_.barrier_wait, cta.outer_second});
    actor.dp_done = matrix(ready, d_.dp.clocks, d_.dp.busy, {cta.index, g, j}, "dP");
  }

  void work(const Phase& phase, double now, Who w, const char* label) {
    use(UnitId::alu, now, phase.alu, w, label);
    use(UnitId::mufu, now, phase.mufu, w, label);
    use(UnitId::fp32, now, phase.fp32, w, label);
    use(UnitId::convert, now, phase.convert, w, label);
    use(UnitId::ports, now, phase.ports, w, label);
  }

  void softmax(GradientCta& cta, int g, const TileWork& tile, int j) {
    GradientActor& actor = cta.actors[g];
    const Who w{cta.index, g, j};
    double now = std::max(actor.s_done, mufu_free_);
    const double masked = tile.masked_share * d_.mask.clocks;
    use(UnitId::alu, now, tile.masked_share * d_.mask.alu, w, "mask");
    use(UnitId::ports, now, tile.masked_share * d_.mask.ports, w, "mask");
    now += masked;
    work(d_.exponent, now, w, "exp2");
    mufu_free_ = now + d_.exponent.mufu;
    now += d_.exponent.clocks;
    show(w, actor.s_done, now, "exp2");
    if (p_.overlap != Overlap::dp_beside_exponent) issue_dp(cta, g, j, now);
    const double begin = std::max({now, actor.dp_done + t_.barrier_arrive, convert_free_});
    work(d_.gradient, begin, w, "dS");
    convert_free_ = begin + d_.gradient.convert;
    now = begin + d_.gradient.clocks;
    if (d_.staged > 0) {
      use(UnitId::smem, now, d_.staged, w, "write dS");
      now += d_.staged + t_.smem_latency;
    }
    show(w, begin, now, "dS");
    actor.ready = now + t_.barrier_arrive;
  }

  /// Nobody goes on before everybody's dS is there.
  void meet(GradientCta& cta) {
    double all = 0;
    for (const GradientActor& actor : cta.actors) all = std::max(all, actor.ready);
    for (GradientActor& actor : cta.actors) actor.ready = all + t_.barrier_wait;
  }

  void products(GradientCta& cta, int g, int j) {
    GradientActor& actor = cta.actors[g];
    const Who w{cta.index, g, j};
    double done = actor.ready;
    if (d_.dv.clocks > 0)
      actor.dv_done = done = matrix(actor.ready, d_.dv.clocks, d_.dv.busy, w, "dV");
    if (d_.dq.clocks > 0) done = matrix(actor.ready, d_.dq.clocks, d_.dq.busy, w, "dQ");
    const double dq_done = done;
    if (d_.dk.clocks > 0) done = matrix(actor.ready, d_.dk.clocks, d_.dk.busy, w, "dK");
    if (d_.dq_bytes > 0) {
      const double begin = std::max(dq_done, cta.dq_stored);
      use(UnitId::smem, begin, 2 * d_.dq_written, w, "dQ");
      done = std::max(done, begin + d_.dq_written + t_.smem_latency);
    }
    show(w, actor.ready, done, "products");
    actor.ready = done + t_.barrier_arrive;
    if (d_.dv.clocks <= 0) actor.dv_done = actor.ready;
  }

  void free_stages(GradientCta& cta, int j) {
    double first = 0, second = 0;
    for (const GradientActor& actor : cta.actors) {
      first = std::max(first, actor.ready);
      second = std::max(second, actor.dv_done);
    }
    cta.first_free.pop_front(), cta.first_free.push_back(first);
    cta.second_free.pop_front(), cta.second_free.push_back(second);
    if (d_.dq_bytes <= 0) return;
    const Who w{cta.index, p_.warpgroups, j};
    const double l2_bytes = d_.dq_bytes * t_.reduce_passes;
    cta.dq_stored =
        transfer(first + t_.tma_latency, d_.dq_bytes, l2_bytes, l2_bytes * s_.kv_miss, w, "add dQ");
  }

  void end_tile(GradientCta& cta, int blocks) {
    double all = 0;
    for (int g = 0; g < d_.actors; ++g) {
      GradientActor& actor = cta.actors[g];
      const Who w{cta.index, g, blocks - 1};
      work(d_.finish, actor.ready, w, "finish");
      use(UnitId::smem, actor.ready, d_.finish.smem, w, "finish");
      actor.ready += d_.finish.fp32 + d_.finish.convert + d_.finish.smem;
      all = std::max(all, actor.ready);
    }
    const Who w{cta.index, p_.warpgroups, blocks - 1};
    const double ready =
        all + t_.smem_latency + t_.barrier_arrive + t_.barrier_wait + t_.tma_latency;
    cta.stored = std::max(cta.dq_stored, transfer(ready, d_.out_bytes, d_.out_bytes,
                                                  d_.out_bytes * s_.o_miss, w, "store"));
    for (GradientActor& actor : cta.actors) actor.ready = cta.stored;
    cta.tile_end.push_back(cta.stored);
  }

  const GradientDurations d_;
  std::vector<GradientCta> ctas_;
};

}  // namespace

SmRun run_gradients(const Machine& machine, const Timing& timing, const Plan& plan,
                    const Supply& supply, int residents, std::span<const TileWork> tiles,
                    std::vector<Slice>* trace) {
  return GradientSm(machine, timing, plan, supply, residents, trace).run(tiles);
}

}  // namespace karat::hopper
