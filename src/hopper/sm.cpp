// The pipeline of an attention CTA as processes on one SM: producer, loads, tensor core, consumer
// warpgroups, epilogue. Overlap is what comes out; nothing here says how much there is.
#include "sm.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>

#include "engine.hpp"
#include "karat/numerics/error.hpp"

namespace karat::hopper {
namespace {

constexpr double kLanes = 128;        // lanes of the four schedulers together
constexpr double kChunkColumns = 16;  // columns of S a warpgroup handles between two looks around
constexpr double kLoadChunk = 8192;   // bytes of a load served at a time
constexpr double kMaskOps =
    1;  // a selection per score of a masked block; columns share the comparison

/// Serves requests one after another, in the order in which they are made.
struct Unit {
  double free_at = 0;
  double busy = 0;
};

/// One wgmma group: `steps` instructions of the tensor core, completed together.
struct MatrixOp {
  int steps;
  double step_clk;   // tensor core
  double smem_clk;   // operand reads of a step
  double ports_clk;  // accumulator traffic of a step on the register ports
  Count* done;
  int cta, group, block;
  const char* label;
};

struct Cta {
  Cta(Engine& engine, int groups)
      : q_full(engine),
        q_free(engine),
        k_full(engine),
        k_free(engine),
        v_raw(engine),
        v_raw_free(engine),
        v_full(engine),
        v_free(engine),
        v_read(engine),
        o_written(engine),
        stored(engine),
        turn(engine) {
    for (int g = 0; g < groups; ++g) {
      qk_done.push_back(std::make_unique<Count>(engine));
      pv_done.push_back(std::make_unique<Count>(engine));
    }
  }
  int index = 0;
  std::vector<TileWork> tiles;
  Count q_full, q_free, k_full, k_free, v_raw, v_raw_free, v_full, v_free, v_read, o_written,
      stored, turn;
  std::vector<std::unique_ptr<Count>> qk_done, pv_done;
  std::vector<double> tile_end;
  std::vector<double> block_begin;
};

class Sm {
 public:
  Sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
     std::vector<Slice>* trace)
      : m_(machine), t_(timing), p_(plan), supply_(supply), trace_(trace), issued_(engine_) {
    rows_ = p_.rows_per_warpgroup();
    qk_bytes_ = bytes_of(p_.qk);
    pv_bytes_ = bytes_of(p_.pv);
  }

  SmRun run(const std::vector<std::vector<TileWork>>& tiles);

 private:
  UnitId id(const Unit& unit) const { return static_cast<UnitId>(&unit - units_.data()); }
  Unit& unit(UnitId which) { return units_[static_cast<int>(which)]; }

  /// Queues `clocks` of work, not before `ready`; returns its end.
  double serve(UnitId which, double clocks, double ready, int cta, int group, const char* label,
               int block) {
    Unit& u = unit(which);
    const double begin = std::max(u.free_at, ready);
    u.free_at = begin + clocks;
    u.busy += clocks;
    if (trace_ && clocks > 0) {
      trace_->push_back({static_cast<int>(which), cta, group, begin, u.free_at, label, block});
    }
    return u.free_at;
  }

  struct Who {
    int cta, group, block;
  };

  /// Instructions on the register ports of the four schedulers: `lanes` lane-operations.
  double issue(double lanes, Who w, const char* label) {
    return serve(UnitId::ports, lanes / kLanes * t_.port_per_instruction, engine_.now(), w.cta,
                 w.group, label, w.block);
  }
  double fp32(double ops, Who w, const char* label) {
    return std::max(issue(ops, w, label), serve(UnitId::fp32, ops / m_.fp32_per_clk, engine_.now(),
                                                w.cta, w.group, label, w.block));
  }
  double alu(double ops, Who w, const char* label) {
    return std::max(issue(ops, w, label), serve(UnitId::alu, ops / m_.alu_per_clk, engine_.now(),
                                                w.cta, w.group, label, w.block));
  }
  /// Conversions pack two results into one instruction.
  double convert(double values, Who w, const char* label) {
    return std::max(issue(values / 2, w, label),
                    serve(UnitId::convert, values / m_.conversions_per_clk, engine_.now(), w.cta,
                          w.group, label, w.block));
  }
  double exp2(double values, Who w, const char* label) {
    const double clocks = values / m_.mufu_per_clk * (t_.mufu_clk_per_warp / 8);
    return std::max(issue(values, w, label),
                    serve(UnitId::mufu, clocks, engine_.now(), w.cta, w.group, label, w.block));
  }
  double smem(double bytes, Who w, const char* label) {
    return serve(UnitId::smem, bytes / m_.smem_bytes_per_clk, engine_.now(), w.cta, w.group, label,
                 w.block);
  }
  /// FP32 additions of PV's partial sums, once per promote_every keys.
  double promote(Who w) {
    if (p_.promote_every <= 0) return engine_.now();
    const double times = std::ceil(double(p_.block_k) / p_.promote_every);
    return fp32(rows_ * p_.tile_dim * times, w, "promote");
  }
  void phase(Who w, double begin, const char* label) {
    if (trace_) trace_->push_back({-1, w.cta, w.group, begin, engine_.now(), label, w.block});
  }

  /// Instructions of a warpgroup per block; one is 16 (BF16) or 32 (FP8, INT8) deep.
  int qk_steps() const { return (p_.tile_dim * bytes_of(p_.qk) + 31) / 32; }
  int pv_steps() const { return (p_.block_k * bytes_of(p_.pv) + 31) / 32; }
  void issue_qk(Cta& cta, int group, int block);
  void issue_pv(Cta& cta, int group, int block);
  void push(const MatrixOp& op) {
    queue_.push_back(op);
    issued_.add();
  }

  Process tensor_core(std::int64_t groups);
  Process complete(Count& done);
  Process load(Cta& cta, double bytes, double smem_bytes, double miss, Count& full,
               const char* label, int block);
  Process producer(Cta& cta);
  Process transpose_v(Cta& cta);
  Process consumer(Cta& cta, int group);
  Process store(Cta& cta);

  const Machine& m_;
  const Timing& t_;
  const Plan& p_;
  const Supply& supply_;
  std::vector<Slice>* trace_;
  Engine engine_;
  std::array<Unit, kUnits> units_{};
  std::deque<MatrixOp> queue_;
  Count issued_;
  double rows_ = 64;
  double qk_bytes_ = 2, pv_bytes_ = 2;
};

/// Clocks of one instruction step of `rows` x `columns`: N/2 per 64 rows at 4096 (8192) FLOP/clk.
double step_clocks(const Machine& m, const Timing& t, const Plan& p, Element element, double rows,
                   double columns) {
  const bool wide = element == Element::bf16;
  const double rate = wide ? m.bf16_flop_per_clk / 4096 : m.fp8_flop_per_clk / 8192;
  const double share = p.matrix_path == MatrixPath::mma_sync ? t.mma_sync_share : 1.0;
  return rows / 64 * columns / 2 / rate / share;
}

void Sm::issue_qk(Cta& cta, int group, int block) {
  MatrixOp op{};
  op.steps = qk_steps();
  op.step_clk = step_clocks(m_, t_, p_, p_.qk, rows_, p_.block_k);
  op.smem_clk = (rows_ + p_.block_k * std::ceil(rows_ / 64)) * 32 / m_.smem_bytes_per_clk;
  op.ports_clk = t_.port_accumulate * rows_ / 64 * p_.block_k / 2;
  op.done = cta.qk_done[group].get();
  op.cta = cta.index, op.group = group, op.block = block, op.label = "QK";
  push(op);
}

void Sm::issue_pv(Cta& cta, int group, int block) {
  MatrixOp op{};
  op.steps = pv_steps();
  op.step_clk = step_clocks(m_, t_, p_, p_.pv, rows_, p_.tile_dim);
  const double from_smem = p_.p_path == PPath::shared_memory ? rows_ : 0;
  op.smem_clk = (from_smem + p_.tile_dim * std::ceil(rows_ / 64)) * 32 / m_.smem_bytes_per_clk;
  op.ports_clk = t_.port_accumulate * rows_ / 64 * p_.tile_dim / 2;
  op.done = cta.pv_done[group].get();
  op.cta = cta.index, op.group = group, op.block = block, op.label = "PV";
  push(op);
}

/// Groups in order of issue, one instruction step after another. Operands of the next step, be it
/// the next group's, are read from shared memory during the current one.
Process Sm::tensor_core(std::int64_t groups) {
  const auto read = [this](const MatrixOp& op) {
    return serve(UnitId::smem, op.smem_clk, engine_.now(), op.cta, op.group, op.label, op.block);
  };
  enum class Operands { not_asked, on_their_way } first = Operands::not_asked;
  double operands = 0;
  for (std::int64_t i = 0; i < groups; ++i) {
    co_await issued_.reaches(i + 1);
    const MatrixOp op = queue_.front();
    queue_.pop_front();
    if (first == Operands::not_asked) operands = read(op);
    first = Operands::not_asked;
    for (int step = 0; step < op.steps; ++step) {
      co_await engine_.until(operands);
      const double done =
          serve(UnitId::tensor, op.step_clk, engine_.now(), op.cta, op.group, op.label, op.block);
      const double ports =
          serve(UnitId::ports, op.ports_clk, engine_.now(), op.cta, op.group, op.label, op.block);
      if (step + 1 < op.steps) {
        operands = read(op);
      } else if (!queue_.empty()) {
        operands = read(queue_.front());
        first = Operands::on_their_way;
      }
      co_await engine_.until(std::max(done, ports));
    }
    engine_.spawn(complete(*op.done));
  }
}

/// Accumulators can be read a pipeline's depth after the last step.
Process Sm::complete(Count& done) {
  co_await engine_.delay(t_.mma_tail);
  done.add();
}

/// A TMA load: latency, then chunks at the SM's share of HBM and L2, written to shared memory.
Process Sm::load(Cta& cta, double bytes, double smem_bytes, double miss, Count& full,
                 const char* label, int block) {
  const Who w{cta.index, p_.warpgroups, block};
  co_await engine_.delay(t_.tma_latency + t_.hbm_latency);
  const double chunks = std::ceil(bytes / kLoadChunk);
  const bool aligned = std::fmod(p_.head_dim * qk_bytes_, 32) == 0;
  for (double i = 0; i < chunks; ++i) {
    const double l2 = serve(UnitId::l2, bytes / chunks / supply_.l2_bytes_per_clk, engine_.now(),
                            w.cta, w.group, label, block);
    const double hbm = serve(UnitId::hbm, bytes * miss / chunks / supply_.hbm_bytes_per_clk,
                             engine_.now(), w.cta, w.group, label, block);
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
  const double q_rows = p_.block_q, k_rows = p_.block_k, real = supply_.kv_real;
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
        engine_.spawn(load(cta, k_rows * real * p_.head_dim * qk_bytes_,
                           k_rows * p_.tile_dim * qk_bytes_, supply_.kv_miss, cta.k_full, "load K",
                           j));
        ++k_sent;
      }
      if (j == 0) {
        co_await cta.q_free.reaches(static_cast<std::int64_t>(tile) * groups);
        co_await engine_.delay(t_.tma_issue);
        engine_.spawn(load(cta, q_rows * supply_.q_real * p_.head_dim * qk_bytes_,
                           q_rows * p_.tile_dim * qk_bytes_, supply_.q_miss, cta.q_full, "load Q",
                           0));
      }
      if (j > 0) {
        if (j == 1) co_await cta.stored.reaches(static_cast<std::int64_t>(tile));
        co_await v_empty.reaches((v_sent + 1 - p_.stages) * v_readers);
        co_await engine_.delay(t_.tma_issue);
        engine_.spawn(load(cta, k_rows * real * p_.head_dim * pv_bytes_,
                           k_rows * p_.tile_dim * pv_bytes_, supply_.kv_miss, v_landed, "load V",
                           j - 1));
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
      issue_qk(cta, group, j);
      const bool previous = p_.overlap == Overlap::previous_pv && j > 0;
      if (previous) {
        co_await cta.v_full.reaches(v_seen + 1);
        issue_pv(cta, group, j - 1);
        ++pv_issued;
      }
      if (turns) {
        cta.turn.add();
        ++turn;
      }
      co_await cta.qk_done[group]->reaches(++k_seen);
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
        co_await cta.pv_done[group]->reaches(pv_issued);
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
      if (p_.overlap == Overlap::none) {
        begin = engine_.now();
        co_await cta.v_full.reaches(v_seen + 1);
        co_await engine_.delay(t_.barrier_wait);
        issue_pv(cta, group, j);
        co_await cta.pv_done[group]->reaches(++pv_issued);
        co_await engine_.delay(t_.barrier_arrive);
        cta.v_free.add();
        ++v_seen;
        co_await engine_.until(promote(w));
        phase(w, begin, "PV");
      }
    }
    const Who w{cta.index, group, work.blocks - 1};
    double begin = engine_.now();
    cta.q_free.add();
    if (p_.overlap == Overlap::previous_pv) {
      co_await cta.v_full.reaches(v_seen + 1);
      co_await engine_.delay(t_.barrier_wait);
      issue_pv(cta, group, work.blocks - 1);
      co_await cta.pv_done[group]->reaches(++pv_issued);
      co_await engine_.delay(t_.barrier_arrive);
      cta.v_free.add();
      ++v_seen;
      co_await engine_.until(promote(w));
      phase(w, begin, "PV");
      begin = engine_.now();
    }
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

/// The TMA store of O; the next tile's V may only land once it has read shared memory.
Process Sm::store(Cta& cta) {
  const double bytes = double(p_.block_q) * supply_.q_real * p_.head_dim * 2;
  for (std::size_t tile = 0; tile < cta.tiles.size(); ++tile) {
    co_await cta.o_written.reaches(static_cast<std::int64_t>(tile + 1) * p_.warpgroups);
    const Who w{cta.index, p_.warpgroups, static_cast<int>(tile)};
    co_await engine_.delay(t_.barrier_wait + t_.tma_latency);
    const double read = smem(bytes, w, "store O");
    const double l2 = serve(UnitId::l2, bytes / supply_.l2_bytes_per_clk, engine_.now(), w.cta,
                            w.group, "store O", w.block);
    serve(UnitId::hbm, bytes / supply_.hbm_bytes_per_clk, engine_.now(), w.cta, w.group, "store O",
          w.block);
    co_await engine_.until(std::max(read, l2));
    cta.stored.add();
    cta.tile_end.push_back(engine_.now());
  }
}

SmRun Sm::run(const std::vector<std::vector<TileWork>>& tiles) {
  std::vector<std::unique_ptr<Cta>> ctas;
  std::int64_t groups = 0;
  for (std::size_t slot = 0; slot < tiles.size(); ++slot) {
    auto cta = std::make_unique<Cta>(engine_, p_.warpgroups);
    cta->index = static_cast<int>(slot);
    cta->tiles = tiles[slot];
    for (const TileWork& tile : tiles[slot])
      groups += std::int64_t{2} * p_.warpgroups * tile.blocks;
    ctas.push_back(std::move(cta));
  }
  engine_.spawn(tensor_core(groups));
  for (auto& cta : ctas) {
    engine_.spawn(producer(*cta));
    if (p_.v_transpose == VTranspose::in_kernel) engine_.spawn(transpose_v(*cta));
    for (int g = 0; g < p_.warpgroups; ++g) engine_.spawn(consumer(*cta, g));
    engine_.spawn(store(*cta));
  }
  SmRun result;
  result.events = engine_.run();
  if (!engine_.finished()) {
    throw Error(ErrorKind::internal, "pipeline simulation", "processes wait for each other");
  }
  result.end = engine_.now();
  for (int u = 0; u < kUnits; ++u) result.busy[u] = units_[u].busy;
  for (auto& cta : ctas) result.tile_end.push_back(cta->tile_end);
  result.block_begin = ctas[0]->block_begin;
  return result;
}

}  // namespace

const char* unit_name(UnitId unit) {
  static constexpr const char* kNames[kUnits] = {"tensor core",   "MUFU",        "FP32",
                                                 "ALU",           "conversions", "register ports",
                                                 "shared memory", "L2",          "HBM"};
  return kNames[static_cast<int>(unit)];
}

SmRun run_sm(const Machine& machine, const Timing& timing, const Plan& plan, const Supply& supply,
             const std::vector<std::vector<TileWork>>& tiles, std::vector<Slice>* trace) {
  Sm sm(machine, timing, plan, supply, trace);
  return sm.run(tiles);
}

}  // namespace karat::hopper
