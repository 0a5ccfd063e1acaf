// Copies by the bulk engine: cp.async.bulk.tensor (tiles of 1-D to 5-D tensors), its reductions,
// and the plain bulk copies. PTX ISA: "Tensors" (box, swizzle, out of bounds),
// "cp.async.bulk.tensor", "cp.reduce.async.bulk.tensor", "cp.async.bulk", "cp.reduce.async.bulk".
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "units/lanes.hpp"
#include "units/tensor_map.hpp"

namespace karat::ptx::units {

/// Bytes of the whole box in shared memory, parts outside the tensor included: what complete_tx
/// counts.
std::uint64_t box_bytes(const TensorMap&);

/// Element (e0, e1, ...) of the box, e0 densest and without gaps, lies at the shared address
///   swizzled(shared + linear), linear = element bytes * (e0 + box0 * (e1 + box1 * ...))
/// and at the global address base + sum (c_i + e_i * element_stride_i) * stride_i (element stride 0
/// counts as 1). Elements outside the tensor in any dimension are filled (zero, or the type's NaN
/// with all bits below the sign set) on a load and skipped on a store or reduction.
/// Types f32_ftz and tf32_ftz flush subnormals on a load, tf32 cuts nothing (assumed).
/// @param coordinates  signed, in elements, innermost first; as many as the rank
/// @param shared  128-byte aligned shared address
/// @return box_bytes()
/// @throws Error(usage) for a wrong count of coordinates, a bad shared address or range, and what
///         GlobalMemory throws
std::uint64_t tensor_load(const TensorMap&, std::span<const std::int32_t> coordinates,
                          SharedMemory memory, std::uint32_t shared, GlobalMemory& global);
std::uint64_t tensor_store(const TensorMap&, std::span<const std::int32_t> coordinates,
                           SharedMemory memory, std::uint32_t shared, GlobalMemory& global);

/// The operations of red.async and cp.reduce.async.bulk.
enum class Reduction : std::uint8_t { add, min, max, inc, dec, bit_and, bit_or, bit_xor };
/// "add", "min", "and" ...; @throws Error(usage) for an unknown name
Reduction reduction(std::string_view name);

/// global = global OP shared, element by element, once each; f16 and bf16 round to nearest even,
/// f32 keeps subnormals (assumed), integers wrap. NaN results as in lane_op.hpp.
/// @throws Error(usage) besides for an operation the type does not have
std::uint64_t tensor_reduce(const TensorMap&, Reduction, std::span<const std::int32_t> coordinates,
                            SharedMemory memory, std::uint32_t shared, GlobalMemory& global);

/// What a tile copy touches: of shared memory one range, rounded up to the swizzle's atom; of
/// global memory one range per row of the box that lies inside, joined where they meet.
ByteRange shared_range(const TensorMap&, std::uint32_t shared);
std::vector<ByteRange> global_ranges(const TensorMap&, std::span<const std::int32_t> coordinates);

/// Plain bulk copies. Addresses and size are multiples of 16.
/// @throws Error(usage) otherwise
void bulk_load(SharedMemory memory, std::uint32_t shared, GlobalMemory& global,
               std::uint64_t address, std::uint64_t size);
void bulk_store(SharedMemory memory, std::uint32_t shared, GlobalMemory& global,
                std::uint64_t address, std::uint64_t size);
/// Shared memory of this CTA to that of another (or the same) one.
void bulk_shared(SharedMemory from, std::uint32_t source, SharedMemory to,
                 std::uint32_t destination, std::uint64_t size);

/// What an element of a reduction is; `f16` and `bf16` are the .noftz forms.
enum class ReductionType : std::uint8_t { u32, s32, u64, s64, f16, bf16, f32, f64, b32, b64 };
/// "f32", "bf16" ...; @throws Error(usage) for an unknown name
ReductionType reduction_type(std::string_view name);
int reduction_type_bytes(ReductionType);
/// One element: *target = *target OP *source, both little endian and of the type's size.
/// @throws Error(usage) for an operation the type does not have
void reduce_element(ReductionType, Reduction, std::byte* target, const std::byte* source);
void bulk_reduce(ReductionType, Reduction, SharedMemory memory, std::uint32_t shared,
                 GlobalMemory& global, std::uint64_t address, std::uint64_t size);

}  // namespace karat::ptx::units
