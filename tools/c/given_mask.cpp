// See given_mask.hpp.
#include "given_mask.hpp"

#include "call.hpp"
#include "karat/mask/listed.hpp"

namespace karat::c {
namespace {

mask::BlockMask arrays_of(const karat_block_mask& given) {
  if (given.query_block < 1 || given.key_block < 1 || given.query_blocks < 1 ||
      given.key_blocks < 1)
    throw Error(ErrorKind::usage, "block_mask", "has an extent below 1",
                "give BLOCK_SIZE and the extents of kv_indices");
  mask::BlockMask arrays{.query_block = given.query_block,
                         .key_block = given.key_block,
                         .query_blocks = given.query_blocks,
                         .key_blocks = given.key_blocks};
  const auto rows = static_cast<std::size_t>(given.query_blocks);
  const std::size_t all = rows * static_cast<std::size_t>(given.key_blocks);
  const auto list = [](const std::int32_t* values, std::size_t count, const char* what) {
    required(values, what);
    return std::vector<std::int32_t>(values, values + count);
  };
  arrays.kv_num_blocks = list(given.kv_num_blocks, rows, "kv_num_blocks");
  arrays.kv_indices = list(given.kv_indices, all, "kv_indices");
  if (given.full_kv_num_blocks == nullptr) {
    arrays.full_kv_num_blocks.assign(rows, 0);
    arrays.full_kv_indices.assign(all, 0);
  } else {
    arrays.full_kv_num_blocks = list(given.full_kv_num_blocks, rows, "full_kv_num_blocks");
    arrays.full_kv_indices = list(given.full_kv_indices, all, "full_kv_indices");
  }
  return arrays;
}

files::Tensors stored(const karat_block_mask& given) {
  const mask::BlockMask arrays = arrays_of(given);
  const auto rows = static_cast<std::size_t>(arrays.query_blocks);
  const auto columns = static_cast<std::size_t>(arrays.key_blocks);
  const auto tensor = [](files::Shape shape, const std::vector<std::int32_t>& values) {
    return files::make_tensor(files::DType::i32, std::move(shape), values);
  };
  return {{"block_size", tensor({2}, {arrays.query_block, arrays.key_block})},
          {"kv_num_blocks", tensor({rows}, arrays.kv_num_blocks)},
          {"kv_indices", tensor({rows, columns}, arrays.kv_indices)},
          {"full_kv_num_blocks", tensor({rows}, arrays.full_kv_num_blocks)},
          {"full_kv_indices", tensor({rows, columns}, arrays.full_kv_indices)}};
}

/// Pairs of positions as pairs of tokens.
files::Tensor by_token(const MaskArrays& mask, const video::TokenOrder& order) {
  const std::size_t tokens = order.position_of.size();
  files::Tensor keep = files::make_tensor(files::DType::boolean, {tokens, tokens});
  for (std::size_t i = 0; i < tokens; ++i)
    for (std::size_t j = 0; j < tokens; ++j)
      keep.bytes[i * tokens + j] = static_cast<std::byte>(
          mask.keep[order.position_of[i] * mask.keep_positions + order.position_of[j]] != 0);
  return keep;
}

/// The matrix without pairs of padding, which no mask keeps.
std::unique_ptr<mask::Mask> between_tokens(std::span<const std::uint8_t> keep,
                                           const video::TokenOrder& order) {
  const std::int64_t n = order.positions();
  if (order.token_at.size() == order.position_of.size()) return mask::boolean_matrix(keep, n, n);
  std::vector<std::uint8_t> kept(keep.begin(), keep.end());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      if (order.token_at[i] < 0 || order.token_at[j] < 0) kept[i * n + j] = 0;
  return mask::boolean_matrix(kept, n, n);
}

}  // namespace

void require_given(const recipe::Recipe& recipe, const MaskArrays& mask) {
  if (recipe.mask.kind == recipe::MaskKind::given || mask.none()) return;
  throw Error(ErrorKind::usage, "block_mask", "comes with a recipe that has a mask of its own",
              "set mask.kind to \"given\" in the recipe, or leave the mask out");
}

layout::GivenMask given_mask(const MaskArrays& mask) {
  if (mask.none()) return {};
  return [mask](const video::TokenOrder& order) {
    const std::int64_t n = order.positions();
    std::unique_ptr<mask::Mask> keep;
    if (mask.keep != nullptr) {
      if (mask.keep_positions != n)
        throw Error(ErrorKind::usage, "mask",
                    "is of " + std::to_string(mask.keep_positions) +
                        " positions, the workload of " + std::to_string(n),
                    "give the mask of this workload's tokens");
      keep = between_tokens({mask.keep, static_cast<std::size_t>(n * n)}, order);
    }
    if (mask.block_mask == nullptr) return keep;
    return mask::listed_blocks(arrays_of(*mask.block_mask), n, n, std::move(keep));
  };
}

std::shared_ptr<const cases::GivenMask> stored_mask(const MaskArrays& mask, recipe::Recipe recipe,
                                                     layout::Setting setting) {
  if (mask.none()) return nullptr;
  files::Tensors arrays;
  if (mask.block_mask != nullptr) arrays = stored(*mask.block_mask);
  if (mask.keep != nullptr) {
    recipe.block.order = recipe::KeyOrder::ascending;  // the order of positions is what is wanted
    setting.given_mask = given_mask(mask);
    arrays["mask"] = by_token(mask, layout::make_layout(recipe, setting).order);
  }
  return std::make_shared<cases::GivenMask>(std::move(arrays), "mask");
}

}  // namespace karat::c
