// See mask_arrays.hpp.
#include "mask_arrays.hpp"

#include <algorithm>
#include <iterator>
#include <span>

#include "karat/numerics/base/error.hpp"

namespace karat::cases {
namespace {

using files::DType;
using files::Tensor;

struct ArrayRow {
  const char* name;
  std::size_t rank;  ///< of one head
};
constexpr ArrayRow kArrays[] = {{"mask", 2},
                                {"mask_id", 2},
                                {"kv_num_blocks", 1},
                                {"kv_indices", 2},
                                {"full_kv_num_blocks", 1},
                                {"full_kv_indices", 2},
                                {"window", 1}};

/// SpargeAttn's blocks of queries and keys.
constexpr std::int32_t kMatrixBlock[2] = {128, 64};

template <typename T>
std::vector<std::int64_t> widened(std::span<const T> values) {
  return {values.begin(), values.end()};
}

void require_array(const std::string& name, const Tensor& tensor, const std::string& subject) {
  const bool pair = name == "block_size";
  const bool window = name == "window";
  if (tensor.element_count() == 0 || (pair && tensor.element_count() != 2) ||
      (window && (tensor.shape.empty() || tensor.shape.back() != 3)))
    throw Error(ErrorKind::usage, subject, "is of shape " + files::to_string(tensor.shape),
                pair ? "give two numbers" : "give an entry per head");
  integers(tensor, 0, 0, subject);
  if (pair) return;
  const std::size_t rank = mask_array_rank(name);
  if (tensor.shape.size() < rank || tensor.shape.size() > rank + 2)
    throw Error(ErrorKind::usage, subject,
                "shape " + files::to_string(tensor.shape) + " has " +
                    std::to_string(tensor.shape.size()) + " dimensions",
                "give " + std::to_string(rank) + ", or batch and head in front");
}

/// One byte an element, 1 where it is nonzero.
Tensor as_booleans(const Tensor& tensor, const std::string& subject) {
  if (tensor.dtype == DType::boolean || tensor.dtype == DType::u8) return tensor;
  Tensor made = files::make_tensor(DType::boolean, tensor.shape);
  const auto values = integers(tensor, 0, tensor.element_count(), subject);
  std::ranges::transform(values, made.bytes.begin(),
                         [](std::int64_t value) { return std::byte{value != 0}; });
  return made;
}

/// A matrix of blocks as lists of full ones.
void expand_matrix(files::Tensors& arrays, const std::string& subject) {
  for (const char* other : {"mask", "kv_num_blocks", "kv_indices", "full_kv_num_blocks", "window"})
    if (arrays.contains(other))
      throw Error(ErrorKind::usage, subject, "holds mask_id and " + std::string(other),
                  "give one of them");
  const Tensor matrix = std::move(arrays.extract("mask_id").mapped());
  const std::size_t columns = matrix.shape.back();
  const auto keeps = integers(matrix, 0, matrix.element_count(), subject + ": mask_id");
  std::vector<std::int32_t> counts(keeps.size() / columns, 0), indices(keeps.size(), 0);
  for (std::size_t row = 0; row < counts.size(); ++row)
    for (std::size_t column = 0; column < columns; ++column)
      if (keeps[row * columns + column] != 0)
        indices[row * columns + counts[row]++] = static_cast<std::int32_t>(column);
  const files::Shape of_rows(matrix.shape.begin(), matrix.shape.end() - 1);
  const std::vector<std::int32_t> none(counts.size(), 0), nothing(keeps.size(), 0);
  arrays["kv_num_blocks"] = files::make_tensor(DType::i32, of_rows, none);
  arrays["kv_indices"] = files::make_tensor(DType::i32, matrix.shape, nothing);
  arrays["full_kv_num_blocks"] = files::make_tensor(DType::i32, of_rows, counts);
  arrays["full_kv_indices"] = files::make_tensor(DType::i32, matrix.shape, indices);
  if (!arrays.contains("block_size"))
    arrays["block_size"] = files::make_tensor(
        DType::i32, {2},
        std::vector<std::int32_t>(std::begin(kMatrixBlock), std::end(kMatrixBlock)));
}

}  // namespace

bool is_mask_array(const std::string& name) {
  return std::ranges::find(kArrays, name, &ArrayRow::name) != std::end(kArrays);
}

std::size_t mask_array_rank(const std::string& name) {
  return std::ranges::find(kArrays, name, &ArrayRow::name)->rank;
}

std::vector<std::int64_t> integers(const Tensor& tensor, std::size_t begin, std::size_t count,
                                   const std::string& subject) {
  switch (tensor.dtype) {
    case DType::boolean:
    case DType::u8:
      return widened(tensor.as<std::uint8_t>().subspan(begin, count));
    case DType::i8:
      return widened(tensor.as<std::int8_t>().subspan(begin, count));
    case DType::i32:
      return widened(tensor.as<std::int32_t>().subspan(begin, count));
    case DType::i64:
      return widened(tensor.as<std::int64_t>().subspan(begin, count));
    default:
      break;
  }
  throw Error(ErrorKind::usage, subject,
              "is stored as " + std::string(files::info(tensor.dtype).name),
              "store bool, int8, uint8, int32 or int64");
}

std::array<std::size_t, 2> heads_in_front(const Tensor& tensor, std::size_t rank) {
  const std::size_t extra = tensor.shape.size() - rank;
  return {extra == 2 ? tensor.shape[0] : 1, extra >= 1 ? tensor.shape[extra - 1] : 1};
}

files::Tensors read_mask_arrays(files::Tensors arrays, const std::string& subject) {
  std::erase_if(arrays, [](const auto& array) {
    return array.first != "block_size" && !is_mask_array(array.first);
  });
  if (std::ranges::none_of(std::array{"window", "mask", "mask_id", "kv_num_blocks"},
                           [&](const char* name) { return arrays.contains(name); }))
    throw Error(ErrorKind::usage, subject, "holds no mask",
                "name it mask [S,S], mask_id [blocks of q, blocks of k], or kv_num_blocks, "
                "kv_indices and so on");
  for (const auto& [name, tensor] : arrays) require_array(name, tensor, subject + ": " + name);
  if (const auto pairs = arrays.find("mask"); pairs != arrays.end())
    pairs->second = as_booleans(pairs->second, subject + ": mask");
  if (arrays.contains("mask_id")) expand_matrix(arrays, subject);
  if (arrays.contains("kv_num_blocks") && !arrays.contains("kv_indices"))
    throw Error(ErrorKind::usage, subject, "holds kv_num_blocks without kv_indices", "give both");
  return arrays;
}

}  // namespace karat::cases
