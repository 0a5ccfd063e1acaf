// The processes of an SM and the units they share; sm.cpp starts them, sm_memory.cpp, sm_matrix.cpp
// and sm_consumer.cpp say what each does.
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <memory>

#include "engine.hpp"
#include "sm.hpp"

namespace karat::hopper {

inline constexpr double kLanes = 128;  // lanes of the four schedulers together

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

}  // namespace karat::hopper
