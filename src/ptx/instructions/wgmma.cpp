// wgmma: warps note what they issue; at commit_group (or, under a late schedule, at wait_group) the
// four warps of a warpgroup meet and the last one computes. Nobody may look at the registers before
// wait_group, so that this gives the values of a correct program, and products that follow each
// other on one accumulator are computed together.
#include <algorithm>

#include "execute/groups.hpp"
#include "execute/witness.hpp"
#include "instructions/families.hpp"
#include "instructions/wgmma_detail.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::ptx {
namespace {

/// That a warp has issued and nobody computed: a loop that never commits must end.
constexpr std::size_t kMostIssued = 4096;

Step run_nothing(const MicroOp&, Warp&, std::uint32_t) { return Step::next; }

/// Lane arrays of the same places in the four warps.
template <typename Lane>
struct Arrays {
  std::array<std::vector<Lane*>, 4> of_warp;

  Arrays(const Cta& cta, std::uint32_t first, const std::vector<Place>& places) {
    for (std::uint32_t w = 0; w < 4; ++w)
      for (const Place place : places)
        of_warp[w].push_back(cta.warps[first + w].lanes<std::uint32_t>(place));
  }
  std::array<std::span<Lane* const>, 4> spans() const {
    return {of_warp[0], of_warp[1], of_warp[2], of_warp[3]};
  }
};

/// Whether `next` only adds to what `before` left.
bool goes_on(const IssuedWgmma& before, const IssuedWgmma& next) {
  return next.adds && next.detail->d == before.detail->d &&
         next.detail->kind == before.detail->kind;
}

/// The products [begin, end) on one accumulator.
void compute(Cta& cta, std::uint32_t first, std::span<const IssuedWgmma> issued) {
  std::vector<Arrays<const std::uint32_t>> a;
  std::vector<units::WgmmaStep> steps;
  for (const IssuedWgmma& each : issued) a.emplace_back(cta, first, each.detail->a);
  for (std::size_t i = 0; i < issued.size(); ++i)
    steps.push_back({.a = a[i].spans(),
                     .a_descriptor = issued[i].a_descriptor,
                     .b_descriptor = issued[i].b_descriptor});
  const WgmmaDetail& detail = *issued[0].detail;
  const Arrays<std::uint32_t> d(cta, first, detail.d);
  cta.cluster->worker->wgmma.run(
      detail.op,
      {.d = d.spans(), .start = issued[0].adds ? numerics::Start::from_d : numerics::Start::absent},
      steps, cta.shared);
}

/// Likewise; what one of them cannot compute is its own fault, not that of the commit or the wait.
void compute_or_blame(Cta& cta, std::uint32_t first, std::span<const IssuedWgmma> issued) {
  try {
    compute(cta, first, issued);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    if (issued.size() == 1) throw Fault{-1, error.what(), &cta.warps[first], issued[0].detail->pc};
    for (std::size_t i = 0; i < issued.size(); ++i)
      compute_or_blame(cta, first, issued.subspan(i, 1));
    throw;
  }
}

/// How many of a warp's wgmmas are of groups before `end`.
std::size_t count_before(const Warp& warp, std::uint64_t end) {
  std::size_t count = 0;
  while (count < warp.issued.size() && warp.issued[count].group < end) ++count;
  return count;
}

/// Computes what was issued in groups before `end`.
void compute_all(Cta& cta, std::uint32_t first, std::uint64_t end_group) {
  const std::span<const IssuedWgmma> issued =
      std::span(cta.warps[first].issued).first(count_before(cta.warps[first], end_group));
  for (std::uint32_t w = 1; w < 4; ++w)
    if (!std::ranges::equal(std::span(cta.warps[first + w].issued)
                                .first(count_before(cta.warps[first + w], end_group)),
                            issued))
      throw Fault{-1, "the warps of its warpgroup issued different wgmma instructions"};
  for (std::size_t i = 0; i < issued.size();) {
    std::size_t end = i + 1;
    while (end < issued.size() && goes_on(issued[end - 1], issued[end])) ++end;
    compute_or_blame(cta, first, issued.subspan(i, end - i));
    i = end;
  }
  const auto done = static_cast<std::ptrdiff_t>(issued.size());
  for (std::uint32_t w = 0; w < 4; ++w) {
    auto& list = cta.warps[first + w].issued;
    list.erase(list.begin(), list.begin() + done);
  }
}

enum class Meeting : std::uint32_t { commit, wait };

/// wait_group, and commit_group if groups are computed there. A warp with nothing to compute meets
/// only those that stand at the same place: others may be ahead of it, no barrier holds them.
/// @param end  groups before it are computed
Step meet_group(Warp& warp, std::uint64_t end, Meeting meeting) {
  Cta& cta = *warp.cta;
  Warpgroup& group = cta.warpgroups[warp.index / 4];
  Pending& pending = warp.now.pending;
  if (pending.kind == Pending::Kind::warpgroup) {
    if (group.round == pending.round) return Step::wait;
    pending = {};
    return Step::next;
  }
  const auto place =
      static_cast<std::uint32_t>(2 * warp.committed) + static_cast<std::uint32_t>(meeting);
  if (count_before(warp, end) == 0 && (group.arrived == 0 || group.place != place))
    return Step::next;
  const std::uint32_t first = warp.index / 4 * 4;
  if (first + 4 > cta.warps.size()) throw Fault{-1, "its warpgroup has not four warps"};
  group.place = place;
  if (++group.arrived < 4) {
    pending = {Pending::Kind::warpgroup, 0, group.round};
    return Step::wait;
  }
  group.arrived = 0;
  ++group.round;
  compute_all(cta, first, end);
  return Step::next;
}

Step run_commit(const MicroOp&, Warp& warp, std::uint32_t) {
  if (!warp.cta->cluster->late_wgmma) {
    const Step step = meet_group(warp, warp.committed + 1, Meeting::commit);
    if (step == Step::wait) return step;
  }
  ++warp.committed;
  return Step::next;
}
/// value: groups that may be left.
Step run_wait(const MicroOp& op, Warp& warp, std::uint32_t) {
  if (!warp.cta->cluster->late_wgmma) return meet_group(warp, warp.committed + 1, Meeting::wait);
  const auto left = static_cast<std::uint64_t>(op.value);
  return meet_group(warp, warp.committed - std::min(left, warp.committed), Meeting::wait);
}

void tell_issue(const MicroOp& op, const Warp& warp, std::uint32_t, Witness& witness,
                Moment moment) {
  if (moment == Moment::before) return;
  const WgmmaDetail& detail = *static_cast<const WgmmaDetail*>(op.detail);
  witness.hold(warp, detail.d, detail.a);
  MatrixByteCache& bytes = warp.cta->cluster->worker->matrix_bytes;
  if (detail.a.empty())
    witness.wgmma_read(warp, bytes.a(detail.op, *warp.lanes<std::uint64_t>(detail.a_descriptor)));
  witness.wgmma_read(warp, bytes.b(detail.op, *warp.lanes<std::uint64_t>(detail.b_descriptor)));
}

void tell_fence(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness, Moment moment) {
  if (moment == Moment::after) witness.fence_registers(warp);
}
void tell_commit(const MicroOp&, const Warp& warp, std::uint32_t, Witness& witness, Moment moment) {
  if (moment == Moment::after) witness.commit_reads(warp, Witness::Reader::wgmma);
}
void tell_wait(const MicroOp& op, const Warp& warp, std::uint32_t, Witness& witness,
               Moment moment) {
  if (moment == Moment::after)
    witness.wait_reads(warp, Witness::Reader::wgmma, static_cast<std::size_t>(op.value));
}

Step run_issue(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  if (lanes != ~0u) {
    if (!warp.others.empty()) return Step::wait;
    throw Fault{-1, "not all lanes of the warp are there"};
  }
  const WgmmaDetail& detail = *static_cast<const WgmmaDetail*>(op.detail);
  IssuedWgmma issued{.group = warp.committed,
                     .detail = &detail,
                     .b_descriptor = *warp.lanes<std::uint64_t>(detail.b_descriptor),
                     .adds = (warp.predicate(detail.scale_d) & 1) != 0};
  if (detail.a.empty()) issued.a_descriptor = *warp.lanes<std::uint64_t>(detail.a_descriptor);
  if (warp.issued.size() >= kMostIssued)
    throw Fault{-1, "more than " + std::to_string(kMostIssued) +
                        " wgmmas are under way that nothing commits or waits for"};
  warp.issued.push_back(issued);
  return Step::next;
}

}  // namespace

void decode_wgmma(Decoder& in) {
  const std::string& opcode = in.instruction().opcode;
  if (!opcode.starts_with("wgmma.mma_async.")) {
    if (!opcode.starts_with("wgmma.fence.") && !opcode.starts_with("wgmma.commit_group.") &&
        !opcode.starts_with("wgmma.wait_group."))
      in.refuse("not supported");
    if (opcode.starts_with("wgmma.fence.")) {
      in.emit(run_nothing).tell = tell_fence;
      return;
    }
    const bool waits = opcode.starts_with("wgmma.wait_group.");
    const std::int64_t left = waits ? in.constant(in.operand(0)) : 0;
    if (left < 0) in.refuse("a number of groups is not negative");
    MicroOp& op = in.emit(waits ? run_wait : run_commit);
    op.tell = waits ? tell_wait : tell_commit;
    op.value = left;
    return;
  }
  in.require_operands(4, 8);
  WgmmaDetail detail;
  if (in.operand(0).kind != OperandKind::vector)
    in.refuse("its accumulator is a vector of registers");
  const bool registers = in.operand(1).kind == OperandKind::vector;
  std::vector<int> immediates;
  for (std::size_t i = 4; i < in.operands().size(); ++i)
    immediates.push_back(static_cast<int>(in.constant(in.operand(i))));
  detail.kind = opcode + (registers ? " registers" : " shared");
  for (const int each : immediates) detail.kind += " " + std::to_string(each);
  detail.op = units::wgmma_op(
      opcode, registers ? units::MatrixSource::registers : units::MatrixSource::shared, immediates);
  for (const Operand& each : in.operand(0).parts) detail.d.push_back(in.write(each, 32));
  if (static_cast<int>(detail.d.size()) != detail.op.d_registers())
    in.refuse("its accumulator has " + std::to_string(detail.op.d_registers()) + " registers");
  if (registers) {
    for (const Operand& each : in.operand(1).parts) detail.a.push_back(in.read(each, 32));
    if (detail.a.size() != 4) in.refuse("A in registers has four");
  } else {
    detail.a_descriptor = in.read(in.operand(1), 64);
  }
  detail.b_descriptor = in.read(in.operand(2), 64);
  detail.scale_d = in.read_predicate(in.operand(3));
  in.rests_on(detail.op.fidelity);
  MicroOp& op = in.emit(run_issue);
  detail.pc = static_cast<std::uint32_t>(in.program().code.size() - 1);
  op.detail = in.keep(std::move(detail));
  op.tell = tell_issue;
}

}  // namespace karat::ptx
