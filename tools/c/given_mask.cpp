// See given_mask.hpp.
#include "given_mask.hpp"

#include <cstring>

#include "call.hpp"

namespace karat::c {
namespace {

files::Tensors tensors_of(const karat_block_mask& given) {
  if (given.query_block < 1 || given.key_block < 1 || given.query_blocks < 1 ||
      given.key_blocks < 1)
    throw Error(ErrorKind::usage, "block_mask", "has an extent below 1",
                "give BLOCK_SIZE and the extents of kv_indices");
  const auto rows = static_cast<std::size_t>(given.query_blocks);
  const auto columns = static_cast<std::size_t>(given.key_blocks);
  files::Tensors arrays;
  const auto add = [&](const char* name, const std::int32_t* values, files::Shape shape) {
    required(values, name);
    std::size_t count = 1;
    for (const std::size_t extent : shape) count *= extent;
    arrays[name] = files::make_tensor(files::DType::i32, std::move(shape),
                                      std::vector<std::int32_t>(values, values + count));
  };
  const std::int32_t sizes[2] = {given.query_block, given.key_block};
  add("block_size", sizes, {2});
  add("kv_num_blocks", given.kv_num_blocks, {rows});
  add("kv_indices", given.kv_indices, {rows, columns});
  if (given.full_kv_num_blocks == nullptr && given.full_kv_indices == nullptr) return arrays;
  add("full_kv_num_blocks", given.full_kv_num_blocks, {rows});
  add("full_kv_indices", given.full_kv_indices, {rows, columns});
  return arrays;
}

void add_matrix(const karat_block_matrix& given, files::Tensors& arrays) {
  files::Shape shape;
  for (const std::int32_t extent :
       {given.batch, given.heads, given.query_blocks, given.key_blocks}) {
    if (extent < 1)
      throw Error(ErrorKind::usage, "block_matrix", "has an extent below 1",
                  "give [batch][heads][query_blocks][key_blocks]");
    shape.push_back(static_cast<std::size_t>(extent));
  }
  files::Tensor& matrix = arrays["mask_id"] = files::make_tensor(files::DType::boolean, shape);
  std::memcpy(matrix.bytes.data(), required(given.kept, "kept"), matrix.bytes.size());
  arrays["block_size"] = files::make_tensor(
      files::DType::i32, {2}, std::vector<std::int32_t>{given.query_block, given.key_block});
}

cases::MaskOrder order_of(karat_mask_order order) {
  switch (order) {
    case KARAT_TOKENS:
      return cases::MaskOrder::tokens;
    case KARAT_POSITIONS:
      return cases::MaskOrder::positions;
  }
  throw Error(ErrorKind::usage, "mask_order", std::to_string(order) + " is not known",
              "give KARAT_TOKENS or KARAT_POSITIONS");
}

}  // namespace

std::shared_ptr<const cases::GivenMask> given_mask(const MaskArrays& given) {
  const cases::MaskOrder counted = order_of(given.order);
  if (given.matrix == nullptr && given.blocks == nullptr && given.keep == nullptr) return nullptr;
  files::Tensors arrays;
  if (given.blocks != nullptr) arrays = tensors_of(*given.blocks);
  if (given.matrix != nullptr) add_matrix(*given.matrix, arrays);
  if (given.keep != nullptr) {
    if (given.keep_extent < 1 || given.keep_extent >= (std::int64_t{1} << 31))
      throw Error(ErrorKind::usage, "mask", "has the extent " + std::to_string(given.keep_extent),
                  "give a row and a column per token");
    const auto side = static_cast<std::size_t>(given.keep_extent);
    files::Tensor& pairs = arrays["mask"] = files::make_tensor(files::DType::boolean, {side, side});
    std::memcpy(pairs.bytes.data(), given.keep, pairs.bytes.size());
  }
  return std::make_shared<cases::GivenMask>(
      std::move(arrays), "mask", cases::MaskReading{.pairs = counted, .blocks = counted});
}

}  // namespace karat::c
