// The fast backward: each pair of blocks is visited once. S and dP, then P and dS, then the pair's
// shares of dV, dK and dQ, added when it is their turn.
#include <algorithm>
#include <atomic>

#include "backward/fast_visit.hpp"
#include "karat/numerics/base/parallel.hpp"

namespace karat::attention {
namespace {

using numerics::MatrixView;
using numerics::Start;
using recipe::Promote;

MatrixView<const float> rows_of(const quant::Quantised& x, video::Range range) {
  return x.view().rows_from(static_cast<std::size_t>(range.begin),
                            static_cast<std::size_t>(range.size()));
}

std::vector<float> scales_of(const quant::Quantised& x, video::Range range) {
  std::vector<float> scales(static_cast<std::size_t>(range.size()) + kPadding);
  for (std::int64_t i = range.begin; i < range.end; ++i) scales[i - range.begin] = x.scale(i, 0);
  return scales;
}

/// One where all are equal.
std::vector<float> shortened(std::vector<float> scales) {
  const auto end = scales.end() - kPadding;
  if (std::all_of(scales.begin(), end, [&](float s) { return s == scales.front(); }))
    scales.resize(1);
  return scales;
}

PackedQueryBlock pack_queries(const BackwardLaunch& launch, video::Range queries) {
  PackedQueryBlock packed;
  packed.q.pack(launch.s, rows_of(launch.s_q(), queries));
  packed.d_o.pack(launch.dp, rows_of(*launch.d_o_in_dp, queries));
  packed.dv.pack(launch.dv, rows_of(*launch.d_o, queries).transposed());
  packed.dk.pack(launch.dk, rows_of(*launch.q, queries).transposed());
  packed.s_q = scales_of(launch.s_q(), queries);
  if (!launch.d_o_in_dp->scales.empty() || !launch.v->scales.empty())
    packed.s_d_o = scales_of(*launch.d_o_in_dp, queries);
  return packed;
}

void pack_keys(const BackwardLaunch& launch, int key_block, PackedKeyBlock& packed) {
  if (packed.key_block == key_block) return;
  const video::Range keys = launch.blocks.key_blocks[key_block];
  packed.key_block = key_block;
  packed.k.pack(launch.s, rows_of(launch.s_k(), keys));
  packed.v.pack(launch.dp, rows_of(*launch.v, keys));
  packed.dq.pack(launch.dq, rows_of(*launch.k, keys).transposed());
  packed.s_k = shortened(scales_of(launch.s_k(), keys));
  packed.s_v = shortened(scales_of(*launch.v, keys));
}

void reserve(const BackwardLaunch& launch, BackwardScratch& s) {
  std::int64_t most = 0, widest = 0;
  for (const video::Range block : launch.blocks.query_blocks) most = std::max(most, block.size());
  for (const video::Range block : launch.blocks.key_blocks) widest = std::max(widest, block.size());
  const auto rows = static_cast<std::size_t>(most), columns = static_cast<std::size_t>(widest);
  const std::size_t stride = padded(columns), chunk = std::max<std::size_t>(8 * stride, 2048);
  for (auto* buffer : {&s.s, &s.p, &s.dp, &s.ds, &s.p_values, &s.ds_values})
    buffer->reserve(rows * stride);
  s.p_codes.reserve(rows * stride);
  s.ds_codes.reserve(rows * stride);
  s.t.reserve(std::max(rows, columns) * launch.channels);
  s.x.reserve(chunk);
  for (auto* buffer : {&s.maxima, &s.group_step, &s.group_scale}) buffer->reserve(chunk / 16);
  s.exact.reserve(chunk);
  s.wide_codes.reserve(chunk);
}

/// A gradient's rows and how the visit's product joins them.
struct Share {
  const numerics::Instruction& instruction;
  Promote promote;
  MatrixView<const float> left;
  const numerics::ColumnOperand& right;
  std::vector<float> factor;  ///< per channel; empty: none
  Block acc;
};

class Worker {
 public:
  Worker(const BackwardLaunch& launch, Sums& sums, const Taps& taps, Turns& query_turns,
         Turns& key_turns)
      : launch_(launch),
        sums_(sums),
        taps_(taps),
        query_turns_(query_turns),
        key_turns_(key_turns) {}

  /// @return false when another worker has given up
  bool run(const ScheduledVisit& at, const PackedQueryBlock& packed, BackwardScratch& scratch) {
    const BackwardVisit v{.launch = launch_,
                          .packed = packed,
                          .scratch = scratch,
                          .cover = at.cover,
                          .queries = launch_.blocks.query_blocks[at.query_block],
                          .keys = launch_.blocks.key_blocks[at.key_block],
                          .tapped = taps_.of_query[at.query_block] != nullptr};
    pack_keys(launch_, at.key_block, scratch.keys);
    multiply(launch_.s, packed.q, scratch.keys.k, v.in(scratch.s));
    multiply(launch_.dp, packed.d_o, scratch.keys.v, v.in(scratch.dp));
    const MadeOperands made = make_operands(v);
    return (!at.adds_keys || add_keys(v, made, at)) &&
           (!at.adds_queries || add_queries(v, made, at));
  }

  std::int64_t saturated = 0;

 private:
  bool add_keys(const BackwardVisit& v, const MadeOperands& made, const ScheduledVisit& at) {
    if (!key_turns_.wait(at.key_block, at.key_turn)) return false;
    const Block dv = rows(sums_.dv, v.keys), dk = rows(sums_.dk, v.keys);
    const std::int64_t query = first_token(launch_.layout.order, v.queries);
    const Promote promote = launch_.backward.promote;
    for (const Share& s : {share(launch_.dv, promote, made.p.values.transposed(), made.p.scale,
                                 v.packed.dv, *launch_.d_o, query, dv),
                           share(launch_.dk, promote, made.ds.values.transposed(), made.ds.scale,
                                 v.packed.dk, *launch_.q, query, dk)}) {
      form(v, s);
      join(v, s);
    }
    record_keys(dk.elements(), dv.elements(), at.key_block, at.key_turn, taps_);
    key_turns_.done(at.key_block);
    return true;
  }

  bool add_queries(const BackwardVisit& v, const MadeOperands& made, const ScheduledVisit& at) {
    saturated += made.ds.saturated;
    const Block dq = rows(sums_.dq, v.queries);
    const std::int64_t key = first_token(launch_.layout.key_order, v.keys);
    const Share s = share(launch_.dq, launch_.promote_dq(), made.ds.values, made.ds.scale,
                          v.scratch.keys.dq, *launch_.k, key, dq);
    form(v, s);
    if (!query_turns_.wait(at.query_block, at.query_turn)) return false;
    join(v, s);
    if (!launch_.k_mean.empty())
      add_ds_sums(launch_, made.ds.values, made.ds.scale,
                  {&sums_.ds_sum[v.queries.begin], v.rows()});
    if (v.tapped) record_visit(v, made, dq, at);
    query_turns_.done(at.query_block);
    return true;
  }

  static void multiply(const numerics::Instruction& instruction, const numerics::RowOperand& a,
                       const numerics::ColumnOperand& b, Block to) {
    chain(instruction, a, b, Start::absent, {to.data, to.rows, to.columns, to.stride, 1});
  }

  Block rows(std::vector<float>& sums, video::Range range) const {
    const std::size_t d = launch_.channels;
    return {&sums[range.begin * d], static_cast<std::size_t>(range.size()), d, d};
  }

  /// @param left   P or dS, transposed where the rows are keys
  /// @param other  the product's other operand, whose position `at` gives the scale
  Share share(const numerics::Instruction& instruction, Promote promote,
              MatrixView<const float> left, std::optional<float> scale,
              const numerics::ColumnOperand& right, const quant::Quantised& other, std::int64_t at,
              Block acc) const {
    Share s{instruction, promote, left, right, {}, acc};
    if (promote == Promote::never) return s;
    s.factor = product_factors(launch_.fp32, scale, other, at);
    if (!s.factor.empty()) s.factor.resize(launch_.channels + kPadding);
    return s;
  }

  /// What can be done before it is the share's turn.
  void form(const BackwardVisit& v, const Share& s) const {
    v.scratch.made.pack(s.instruction, s.left);
    if (s.promote == Promote::never) return;
    const Block t{v.scratch.t.data(), s.acc.rows, s.acc.columns, s.acc.stride};
    multiply(s.instruction, v.scratch.made, s.right, t);
    if (!s.factor.empty())
      row_loops(launch_.recipe.subnormals)
          .multiply_columns(t, std::span(s.factor).first(launch_.channels));
  }
  void join(const BackwardVisit& v, const Share& s) const {
    if (s.promote == Promote::never)
      return chain(s.instruction, v.scratch.made, s.right, Start::from_d,
                   numerics::row_major(s.acc.data, s.acc.rows, s.acc.columns));
    row_loops(launch_.recipe.subnormals)
        .add(s.acc.elements(), {v.scratch.t.data(), s.acc.rows * s.acc.columns});
  }
  void record_visit(const BackwardVisit& v, const MadeOperands& made, Block dq,
                    const ScheduledVisit& at) const {
    record({.rows = v.rows(),
            .columns = v.columns(),
            .stride = v.stride(),
            .s = v.scratch.s.data(),
            .p = v.scratch.p.data(),
            .dp = v.scratch.dp.data(),
            .ds = v.scratch.ds.data(),
            .p_operand = made.p.values.data,
            .ds_operand = made.ds.values.data,
            .p_codes = made.p.codes,
            .ds_codes = made.ds.codes},
           dq.elements(), at.query_turn, *taps_.of_query[at.query_block]);
  }

  const BackwardLaunch& launch_;
  Sums& sums_;
  const Taps& taps_;
  Turns& query_turns_;
  Turns& key_turns_;
};

}  // namespace

std::int64_t run_fast(const BackwardLaunch& launch, const Schedule& schedule, Sums& sums,
                      const Taps& taps, const std::function<void()>& done) {
  const int threads = launch.options.threads;
  const mask::BlockMap& blocks = launch.blocks;
  const int workers = threads > 0 ? threads : numerics::default_threads();
  std::vector<PackedQueryBlock> packed(blocks.query_blocks.size());
  std::vector<char> visited(packed.size());
  for (const ScheduledVisit& visit : schedule.visits) visited[visit.query_block] = 1;
  numerics::parallel_for(packed.size(), workers, [&](std::size_t block, int) {
    if (visited[block]) packed[block] = pack_queries(launch, blocks.query_blocks[block]);
  });
  Turns query_turns(blocks.query_blocks.size()), key_turns(blocks.key_blocks.size());
  std::vector<BackwardScratch> scratch(workers);
  std::atomic<std::int64_t> saturated = 0;
  numerics::parallel_for(schedule.items(), workers, [&](std::size_t item, int worker) {
    try {
      Worker own(launch, sums, taps, query_turns, key_turns);
      reserve(launch, scratch[worker]);
      for (const ScheduledVisit& visit : schedule.item(item))
        if (!own.run(visit, packed[visit.query_block], scratch[worker])) return;
      saturated += own.saturated;
      done();
    } catch (...) {
      query_turns.give_up();
      key_turns.give_up();
      throw;
    }
  });
  return saturated;
}

}  // namespace karat::attention
