// Query blocks visit key blocks: S by the tensor-core chain, softmax by vector loops, PV.
#include <algorithm>

#include "karat/numerics/base/parallel.hpp"
#include "visit.hpp"

namespace karat::attention {
namespace {

using numerics::MatrixView;
using numerics::Start;

/// Room for blocks of rows x columns; a chunk has no more than eight rows or 2048 elements.
void reserve(FastScratch& s, std::size_t rows, std::size_t columns, std::size_t channels,
             bool from_accumulators) {
  const std::size_t stride = padded(columns), block = rows * stride;
  for (auto* buffer : {&s.a, &s.s, &s.p_values}) buffer->reserve(block);
  if (from_accumulators) {
    s.base.reserve(block);
    s.factors.reserve(block);
    const std::size_t most = padded(std::max(rows, columns)) + kPadding;
    s.ones.reserve(most);
    std::fill_n(s.ones.data(), most, 1.0f);
  }
  s.codes.reserve(block);
  const std::size_t chunk = std::max<std::size_t>(8 * stride, 2048);
  s.x.reserve(chunk);
  s.exact.reserve(chunk);
  s.wide_codes.reserve(chunk);
  s.delta.reserve(columns);
  for (auto* buffer : {&s.maxima, &s.reference, &s.alpha, &s.p_scale})
    buffer->reserve(padded(rows));
  s.factor.reserve(padded(channels));
  s.alpha_exact.reserve(padded(rows));
  s.t.reserve(rows * channels);
}

bool has_exact_p(const Launch& launch) { return launch.recipe.softmax.exp2 == recipe::Exp2::exact; }

Block outputs(const Visit& v) {
  const std::size_t channels = v.launch.channels;
  return {v.block.state.o.data(), v.rows, channels, channels};
}

void rescale_outputs(const Visit& v) {
  if (has_exact_p(v.launch))
    multiply_rows(outputs(v), v.scratch.alpha_exact.first(v.rows), v.launch.recipe.subnormals);
  else
    v.loops.multiply_rows(outputs(v), v.scratch.alpha.first(v.rows));
}

/// T times the scales of P's rows, of v's channels, or of both.
void scale_product(const Visit& v, const PackedSegment& segment, Block t) {
  if (!v.launch.p_scaled_by_rows) {
    if (!segment.v_scale.empty()) v.loops.multiply_columns(t, segment.v_scale);
    return;
  }
  const std::span p_scale = v.scratch.p_scale.first(v.rows);
  if (segment.v_scale.empty()) return v.loops.multiply_rows(t, p_scale);
  const std::span factor = v.scratch.factor.first(t.columns);
  for (std::size_t i = 0; i < t.rows; ++i) {
    v.loops.multiply(std::span(segment.v_scale).first(t.columns), p_scale[i], factor);
    v.loops.multiply_columns(t.rows_from(i, 1), factor);
  }
}

/// Where a tap has the products of a visit; null: nowhere.
float* tapped_products(const Visit& v, std::size_t visit) {
  if (v.tap == nullptr || v.tap->product_begin.empty()) return nullptr;
  return v.tap->t.data() + v.tap->product_begin[visit] * v.rows * v.launch.channels;
}

/// P times one segment of V after the other, onto the rescaled outputs. `products`: see
/// tapped_products().
void multiply_by_v(const Visit& v, float* products) {
  const Launch& launch = v.launch;
  FastScratch& scratch = v.scratch;
  const std::size_t channels = launch.channels;
  const Block t{scratch.t.data(), v.rows, channels, channels};
  // Where T is added later, the first segment's addition rescales on the way.
  const bool promoted = launch.recipe.pv.promote_every != 0;
  bool rescaled = !promoted || has_exact_p(launch);
  scratch.enter(Phase::rescale);
  if (rescaled) rescale_outputs(v);
  for (const PackedSegment& segment : v.packed.segments) {
    if (!v.packs_ahead()) {
      const MatrixView<const float> p{&scratch.p_values[segment.keys.begin - v.keys.begin], v.rows,
                                      static_cast<std::size_t>(segment.keys.size()), v.stride(), 1};
      scratch.enter(Phase::pack_p);
      scratch.p.pack(launch.pv, p);
    }
    scratch.enter(Phase::pv);
    if (!promoted) {
      chain(launch.pv, scratch.p, segment.v, Start::from_d,
            numerics::row_major(v.block.state.o.data(), v.rows, channels));
      continue;
    }
    chain(launch.pv, scratch.p, segment.v, Start::absent,
          numerics::row_major(t.data, v.rows, channels));
    if (products != nullptr) products = std::copy_n(t.data, v.rows * channels, products);
    scratch.enter(Phase::rescale);
    scale_product(v, segment, t);
    if (rescaled)
      v.loops.add({v.block.state.o.data(), v.rows * channels}, t.elements());
    else
      v.loops.multiply_rows_and_add(outputs(v), scratch.alpha.first(v.rows), t);
    rescaled = true;
  }
}

void record(const Visit& v, std::size_t visit, BlockTap& tap) {
  const std::size_t width = tap.key_position.size();
  const auto copy = [&](const auto& from, auto& to) {
    if (to.empty()) return;
    for (std::size_t i = 0; i < v.rows; ++i)
      std::copy_n(&from[i * v.stride()], v.columns, &to[i * width + v.tap_column]);
  };
  copy(v.scratch.a, tap.a);
  copy(v.scratch.s, tap.s);
  copy(v.scratch.p_values, tap.p);
  copy(v.scratch.codes, tap.p_codes);
  for (std::size_t i = 0; i < v.rows; ++i) {
    tap.m[visit * v.rows + i] = v.block.state.m[i];
    tap.l[visit * v.rows + i] = row_sum(v.launch, v.block.state.partial[i]);
  }
  if (tap.o.empty()) return;
  std::copy_n(v.block.state.o.begin(), v.rows * v.launch.channels,
              &tap.o[visit * v.rows * v.launch.channels]);
}

std::vector<float> key_scales(const Launch& launch, video::Range keys) {
  if (!launch.scores_scaled || launch.recipe.qk.scale_order == recipe::ScaleOrder::fused) return {};
  std::vector<float> scales;
  for (std::int64_t key = keys.begin; key < keys.end; ++key) scales.push_back(launch.k_scale(key));
  // Fused exponents read one scale a column.
  if (!launch.from_accumulators && std::equal(scales.begin() + 1, scales.end(), scales.begin()))
    return {scales.front()};
  scales.resize(scales.size() + kPadding);
  return scales;
}

PackedSegment pack_segment(const Launch& launch, video::Range keys) {
  PackedSegment segment{.keys = keys, .v = {}, .v_scale = launch.block_scales(keys.begin)};
  segment.v.pack(launch.pv, launch.head.v.view().rows_from(keys.begin, keys.size()).transposed());
  if (launch.v_scaled_per_block) segment.v_scale.resize(launch.channels + kPadding);
  return segment;
}

PackedKeys pack_keys(const Launch& launch, video::Range keys) {
  PackedKeys packed;
  packed.k.pack(launch.qk, launch.head.k.view().rows_from(keys.begin, keys.size()));
  packed.k_scale = key_scales(launch, keys);
  const Smoothed& smoothed = launch.head.smoothed;
  if (!smoothed.q_block_means.empty())
    packed.smoothed.pack(numerics::instruction("f32.fma"),
                         numerics::row_major(&smoothed.keys[keys.begin * launch.channels],
                                             keys.size(), launch.channels));
  for (const video::Range segment : launch.segments(keys))
    packed.segments.push_back(pack_segment(launch, segment));
  return packed;
}

/// What the visits of a query block share.
void start_block(const Launch& launch, int query_block, QueryBlock& block) {
  const video::Range queries = launch.layout.blocks.query_blocks[query_block];
  const auto rows = static_cast<std::size_t>(queries.size());
  block.queries = queries;
  block.state = RowState(launch, rows);
  block.saturated = 0;
  block.small_blocks.clear();
  block.q.pack(launch.qk, launch.head.q.view().rows_from(queries.begin, rows));
  const Smoothed& smoothed = launch.head.smoothed;
  if (!smoothed.q_block_means.empty())
    block.q_mean.pack(numerics::instruction("f32.fma"),
                      numerics::row_major(&smoothed.q_block_means[query_block * launch.channels], 1,
                                          launch.channels));
  block.row_scale.reserve(padded(rows));
  block.factor.reserve(padded(rows));
  for (std::size_t i = 0; i < rows; ++i) {
    const std::int64_t query = queries.begin + static_cast<std::int64_t>(i);
    const float s_q = launch.q_scale(query);
    const bool c_first = launch.recipe.qk.scale_order == recipe::ScaleOrder::query_first;
    block.row_scale[i] = c_first ? launch.fp32.multiply(launch.c, s_q) : s_q;
    // Where exponents are fused, f is the same for every key.
    block.factor[i] = launch.fused ? launch.pair_factor(query, 0) : 1.0f;
  }
}

void run_visit(const Visit& v, std::size_t visit) {
  const Block a = v.accumulators();
  v.scratch.enter(Phase::qk);
  chain(v.launch.qk, v.block.q, v.packed.k, Start::absent,
        {a.data, a.rows, a.columns, a.stride, 1});
  v.scratch.enter(Phase::scores);
  score_rows(v);
  if (advance_rows(v, visit) == Step::skipped) {
    skip_rows(v);
    v.scratch.enter(Phase::rescale);
    rescale_outputs(v);
  } else {
    softmax_rows(v);
    multiply_by_v(v, tapped_products(v, visit));
  }
  if (v.tap == nullptr) return;
  v.scratch.enter(Phase::record);
  record(v, visit, *v.tap);
}

}  // namespace

PackedHead pack_head(const Launch& launch, const std::vector<int>& query_blocks, int threads) {
  const mask::BlockMap& blocks = launch.layout.blocks;
  std::vector<char> visited(blocks.key_blocks.size(), 0);
  for (const int block : query_blocks)
    for (const auto& entry : blocks.rows[block]) visited[entry.key_block] = 1;
  PackedHead packed(blocks.key_blocks.size());
  numerics::parallel_for(visited.size(), threads, [&](std::size_t block, int) {
    if (visited[block]) packed[block] = pack_keys(launch, blocks.key_blocks[block]);
  });
  return packed;
}

bool visit_the_same(const Launch& launch, int query_block, int other) {
  const auto& rows = launch.layout.blocks.rows;
  return std::equal(rows[query_block].begin(), rows[query_block].end(), rows[other].begin(),
                    rows[other].end(),
                    [](const auto& a, const auto& b) { return a.key_block == b.key_block; });
}

void run_blocks_fast(const Launch& launch, const PackedHead& packed,
                     std::span<const int> query_blocks, FastScratch& scratch, HeadResult& result,
                     BlockTap* tap, std::int64_t& saturated) {
  const mask::BlockMap& map = launch.layout.blocks;
  const auto& visits = map.rows[query_blocks.front()];
  std::int64_t most_rows = 0, widest = 0;
  for (const int block : query_blocks)
    most_rows = std::max(most_rows, map.query_blocks[block].size());
  for (const auto& entry : visits)
    widest = std::max(widest, map.key_blocks[entry.key_block].size());
  reserve(scratch, static_cast<std::size_t>(most_rows), static_cast<std::size_t>(widest),
          launch.channels, launch.from_accumulators);
  scratch.enter(Phase::start_block);
  for (std::size_t b = 0; b < query_blocks.size(); ++b)
    start_block(launch, query_blocks[b], scratch.blocks[b]);
  for (std::size_t visit = 0; visit < visits.size(); ++visit) {
    const video::Range keys = map.key_blocks[visits[visit].key_block];
    for (std::size_t b = 0; b < query_blocks.size(); ++b) {
      QueryBlock& block = scratch.blocks[b];
      run_visit({.launch = launch,
                 .scratch = scratch,
                 .block = block,
                 .packed = packed[visits[visit].key_block],
                 .loops = row_loops(launch.recipe.subnormals),
                 .tap = tap,
                 .tap_column = tap ? static_cast<std::size_t>(tap->column_begin[visit]) : 0,
                 .cover = map.rows[query_blocks[b]][visit].cover,
                 .key_block = visits[visit].key_block,
                 .keys = keys,
                 .rows = static_cast<std::size_t>(block.queries.size()),
                 .columns = static_cast<std::size_t>(keys.size()),
                 .turn = turn_of(visit, visits.size())},
                visit);
    }
  }
  scratch.enter(Phase::finish);
  for (std::size_t b = 0; b < query_blocks.size(); ++b) {
    const QueryBlock& block = scratch.blocks[b];
    saturated += block.saturated;
    if (!block.small_blocks.empty()) result.small_blocks[query_blocks[b]] = block.small_blocks;
    finish(launch, block.queries, block.state, numerics::Path::fast, result);
  }
  if (scratch.clock) scratch.clock->stop();
}

}  // namespace karat::attention
