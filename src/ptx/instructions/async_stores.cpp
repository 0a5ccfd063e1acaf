// st.async and red.async: shared memory of a CTA of the cluster is written, then its mbarrier
// counts the bytes.
#include <array>
#include <cstring>

#include "execute/bulk.hpp"
#include "execute/later.hpp"
#include "instructions/families.hpp"
#include "instructions/qualifiers.hpp"
#include "units/tensor_copy.hpp"

namespace karat::ptx {
namespace {

struct AsyncStore {
  Place to = 0, mbarrier = 0;
  std::vector<Place> values;
  std::size_t bytes = 4;  ///< of a value
  bool reduces = false;
  units::Reduction reduction = units::Reduction::add;
  units::ReductionType type = units::ReductionType::u32;

  std::uint32_t size() const { return static_cast<std::uint32_t>(bytes * values.size()); }
};

/// One lane's store, with the values its registers had.
struct AsyncStoreJob {
  std::uint32_t to = 0, mbarrier = 0;
  std::array<std::byte, 16> bytes{};
};

void do_store(const AsyncStore& store, Warp& warp, int lane, const AsyncStoreJob& job) {
  std::byte* const at =
      locate(warp, Space::shared, job.to, store.size(), lane, MemoryAccess::write);
  if (store.reduces)
    units::reduce_element(store.type, store.reduction, at, job.bytes.data());
  else
    std::memcpy(at, job.bytes.data(), store.size());
  if (warp.cta->witness != nullptr) warp.cta->witness->engine_done(ranked(warp, job.mbarrier));
  change_mbarrier(warp, job.mbarrier, lane,
                  [&](units::Mbarrier& each) { return each.complete_tx(store.size()); });
}

Step run_async_store(const MicroOp& op, Warp& warp, std::uint32_t lanes) {
  const AsyncStore& store = *static_cast<const AsyncStore*>(op.detail);
  for_lanes(lanes, [&](int lane) {
    AsyncStoreJob job{.to = warp.lanes<std::uint32_t>(store.to)[lane],
                      .mbarrier = warp.lanes<std::uint32_t>(store.mbarrier)[lane]};
    for (std::size_t i = 0; i < store.values.size(); ++i)
      std::memcpy(
          job.bytes.data() + i * store.bytes,
          warp.file + store.values[i] + static_cast<std::size_t>(lane) * (store.bytes == 8 ? 8 : 4),
          store.bytes);
    const auto work = [&store, &warp, lane, job] { do_store(store, warp, lane, job); };
    puts_off(*warp.cta->cluster) ? put_off(warp, work) : work();
  });
  return Step::next;
}

}  // namespace

void decode_async_store(Decoder& in) {
  units::Opcode opcode(in.instruction().opcode);
  AsyncStore store{.reduces = opcode.base() == "red"};
  opcode.take("async");
  opcode.take(store.reduces ? "relaxed" : "weak");
  const bool scoped = opcode.take("cluster");
  if (!opcode.take("shared::cluster") || scoped != store.reduces)
    opcode.refuse("it goes to .shared::cluster");
  if (!opcode.take("mbarrier::complete_tx::bytes"))
    opcode.refuse("the part .mbarrier::complete_tx::bytes is missing");
  const auto vector = opcode.take_one_of({"v2", "v4"});
  const std::string_view type = opcode.take_last();
  if (store.reduces) {
    store.type = units::reduction_type(type);
    store.reduction = units::reduction(opcode.take_last());
    store.bytes = static_cast<std::size_t>(units::reduction_type_bytes(store.type));
    if (!vector.empty() || type.starts_with("f") || type.starts_with("bf"))
      opcode.refuse("it takes one integer");
  } else {
    const auto of = type_named(type);
    if (!of || (of->bytes != 4 && of->bytes != 8)) opcode.refuse("it takes 32 or 64 bits");
    store.bytes = of->bytes;
  }
  opcode.expect_nothing_left();
  in.require_operands(3, 3);
  store.to = in.address32(in.operand(0));
  store.mbarrier = in.address32(in.operand(2));
  const Operand& value = in.operand(1);
  const std::vector<Operand> parts =
      value.kind == OperandKind::vector ? value.parts : std::vector<Operand>{value};
  for (const Operand& each : parts)
    store.values.push_back(in.read(each, store.bytes == 8 ? 64 : 32));
  const std::size_t count = vector.empty() ? 1 : static_cast<std::size_t>(vector[1] - '0');
  if (store.values.size() != count || store.size() > 16)
    in.refuse("the vector has another length than the opcode says, or more than 16 bytes");
  // Written by the generic proxy, when nobody knows: a search for hazards does not look at the
  // bytes.
  in.emit(run_async_store).detail = in.keep(std::move(store));
}

}  // namespace karat::ptx
