// The tensor core: groups of instructions in order of issue, their operands read one step ahead.
#include "processes.hpp"

namespace karat::hopper {

namespace {

/// Clocks of one instruction step of `rows` x `columns`: N/2 per 64 rows at 4096 (8192) FLOP/clk.
double step_clocks(const Machine& m, const Timing& t, const Plan& p, Element element, double rows,
                   double columns) {
  const bool wide = element == Element::bf16;
  const double rate = wide ? m.bf16_flop_per_clk / 4096 : m.fp8_flop_per_clk / 8192;
  const double share = p.matrix_path == MatrixPath::mma_sync ? t.mma_sync_share : 1.0;
  return rows / 64 * columns / 2 / rate / share;
}

}  // namespace

/// An instruction is 16 (BF16) or 32 (FP8, INT8) deep.
/// @param a_from_smem rows of A that are read from shared memory; the others are in registers
void Sm::issue_product(Element element, double depth, double columns, double a_from_smem,
                       Count& done, Who w, const char* label) {
  queue_.push_back(
      {.steps = static_cast<int>(std::ceil(depth * bytes_of(element) / 32)),
       .step_clk = step_clocks(m_, t_, p_, element, rows_, columns),
       .smem_clk = (a_from_smem + columns * std::ceil(rows_ / 64)) * 32 / m_.smem_bytes_per_clk,
       .ports_clk = t_.port_accumulate * rows_ / 64 * columns / 2,
       .done = &done,
       .who = w,
       .label = label});
  issued_.add();
}

void Sm::issue_qk(Cta& cta, Who w) {
  issue_product(p_.qk, p_.tile_dim, p_.block_k, rows_, cta.qk_done[w.group], w, "QK");
}

void Sm::issue_pv(Cta& cta, Who w) {
  issue_product(p_.pv, p_.block_k, p_.tile_dim, p_.p_path == PPath::shared_memory ? rows_ : 0,
                cta.pv_done[w.group], w, "PV");
}

/// Groups in order of issue, one instruction step after another. Operands of the next step, be it
/// the next group's, are read from shared memory during the current one.
Process Sm::tensor_core(std::int64_t groups) {
  const auto read = [this](const MatrixOp& op) {
    return serve(UnitId::smem, op.smem_clk, op.who, op.label);
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
      const double done = serve(UnitId::tensor, op.step_clk, op.who, op.label);
      const double ports = serve(UnitId::ports, op.ports_clk, op.who, op.label);
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

}  // namespace karat::hopper
