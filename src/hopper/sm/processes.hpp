// The processes of an SM and the units they share; sm.cpp starts them, memory.cpp, matrix.cpp and
// consumer.cpp say what each does.
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

/// For whom a unit works.
struct Who {
  int cta, group, block;
};

/// One wgmma group: `steps` instructions of the tensor core, completed together.
struct MatrixOp {
  int steps;
  double step_clk;   // tensor core
  double smem_clk;   // operand reads of a step
  double ports_clk;  // accumulator traffic of a step on the register ports
  Count* done;
  Who who;
  const char* label;
};

struct Cta {
  Cta(Engine& e, int groups) : engine(e), qk_done(groups, Count(e)), pv_done(groups, Count(e)) {}

  Engine& engine;
  int index = 0;
  std::vector<TileWork> tiles;
  Count q_full{engine}, q_free{engine}, k_full{engine}, k_free{engine}, v_raw{engine},
      v_raw_free{engine}, v_full{engine}, v_free{engine}, v_read{engine}, o_written{engine},
      stored{engine}, turn{engine};
  std::vector<Count> qk_done, pv_done;  ///< per consumer warpgroup
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
  /// Queues `clocks` of work that is ready now; returns its end.
  double serve(UnitId which, double clocks, Who w, const char* label) {
    Unit& u = units_[static_cast<int>(which)];
    const double begin = std::max(u.free_at, engine_.now());
    u.free_at = begin + clocks;
    u.busy += clocks;
    if (trace_ && clocks > 0)
      trace_->push_back(
          {static_cast<int>(which), w.cta, w.group, begin, u.free_at, label, w.block});
    return u.free_at;
  }

  /// Instructions on the register ports of the four schedulers: `lanes` lane-operations.
  double issue(double lanes, Who w, const char* label) {
    return serve(UnitId::ports, lanes / kLanes * t_.port_per_instruction, w, label);
  }
  double fp32(double ops, Who w, const char* label) {
    return std::max(issue(ops, w, label), serve(UnitId::fp32, ops / m_.fp32_per_clk, w, label));
  }
  double alu(double ops, Who w, const char* label) {
    return std::max(issue(ops, w, label), serve(UnitId::alu, ops / m_.alu_per_clk, w, label));
  }
  /// Conversions pack two results into one instruction.
  double convert(double values, Who w, const char* label) {
    return std::max(issue(values / 2, w, label),
                    serve(UnitId::convert, values / m_.conversions_per_clk, w, label));
  }
  double exp2(double values, Who w, const char* label) {
    const double clocks = values / m_.mufu_per_clk * (t_.mufu_clk_per_warp / 8);
    return std::max(issue(values, w, label), serve(UnitId::mufu, clocks, w, label));
  }
  double smem(double bytes, Who w, const char* label) {
    return serve(UnitId::smem, bytes / m_.smem_bytes_per_clk, w, label);
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

  void issue_qk(Cta& cta, Who w);
  void issue_pv(Cta& cta, Who w);
  void issue_product(Element element, double depth, double columns, double a_from_smem, Count& done,
                     Who w, const char* label);

  Process tensor_core(std::int64_t groups);
  Process complete(Count& done);
  Process load(double rows, double real, double element_bytes, double miss, Count& full, Who w,
               const char* label);
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
