// Tensors in memory, whoever brings them: boxes and masks, and what is checked of operands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "karat/case/inputs.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::cases {

/// A box of a row-major tensor in memory.
files::Tensor box_of(files::DType dtype, const files::Shape& shape,
                     std::span<const std::byte> bytes, const files::Shape& offset,
                     const files::Shape& count);

/// PyTorch's BlockMask of a layout's mask over blocks of positions: kv_num_blocks, kv_indices,
/// full_kv_num_blocks, full_kv_indices, position_of_token; metadata BLOCK_SIZE and grid.
files::TensorFile block_mask_tensors(const layout::Layout& layout, int query_block, int key_block);

/// Writes grid and text of `rows` tokens: those given, else the assumed 1, 1, rows - text.
/// @param holder of the rows, in words: "q.npy has"
/// @throws Error(usage) where they do not make up the rows
void set_tokens(InputShape& shape, std::optional<video::Extent3> grid, int text, std::size_t rows,
                const std::string& holder);
/// Heads of k and v, 0 for as many. @throws Error(usage) unless they divide `heads`
std::size_t kv_heads_of(std::size_t heads, std::int64_t kv_heads);
/// @throws Error(kind) for NaN or Inf among rows of channels: "NaN at ROW 3, channel 4"
void require_finite(std::span<const float> values, std::size_t channels, ErrorKind kind,
                    const std::string& subject, const std::string& row);
/// @throws Error(kind) for an lse that is NaN or +Inf, and for what is NaN, Inf or not exact in
///   `format` in a row of o with a finite lse
void require_outputs(const GivenOutputs& given, std::size_t channels, numerics::FormatId format,
                     ErrorKind kind, const std::string& row, const std::string& o_subject,
                     const std::string& lse_subject);
/// Codes of o are a forward's only in the format of its output.
/// @param said  what the codes say they are; empty: plain bytes, taken for the output's
/// @throws Error(usage)
void require_output_codes(std::optional<numerics::FormatId> said, numerics::FormatId format,
                          const std::string& subject);
/// "batch 0, head 1, token": what its rows are called
std::string rows_of(std::size_t batch, std::size_t head);

}  // namespace karat::cases
