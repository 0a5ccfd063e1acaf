// What calls on a case take: a recipe, heads, a mask in the place of the recipe's.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "arrays.hpp"

namespace karat_python {

class Recipe {
 public:
  explicit Recipe(const std::string& text)
      : recipe_(result_of<karat_recipe>(karat_recipe_new, text.c_str())) {}
  ~Recipe() { karat_recipe_free(recipe_); }
  Recipe(const Recipe&) = delete;
  Recipe& operator=(const Recipe&) = delete;

  std::string json() const { return text_of(karat_recipe_json, recipe_); }
  /// Why it needs a grid; nothing where it needs none.
  Text grid_reason() const {
    char* text = result_of<char>(karat_recipe_grid_reason, recipe_);
    return text == nullptr ? Text() : owned(text);
  }
  const karat_recipe* get() const { return recipe_; }

 private:
  karat_recipe* recipe_;
};

using Shape = std::array<std::int64_t, 5>;  ///< batch, heads, heads of k and v, tokens, channels
using Grid = std::array<std::int32_t, 3>;

/// Q, K and V, values or codes with scales; keeps the arrays alive.
class Heads {
 public:
  using Texts = std::optional<std::array<std::string, 3>>;
  using Scales = std::optional<std::array<py::array, 3>>;
  Heads(py::array q, py::array k, py::array v, std::string type, std::string layout,
        const Shape& shape, const Grid& grid, int text, Texts scale_types, Scales scales);
  Heads(const Heads&) = delete;  // given_ points into itself
  Heads& operator=(const Heads&) = delete;
  karat_heads get() const;
  /// Elements of q.
  std::size_t count() const;
  /// Elements of k.
  std::size_t kv_count() const;
  /// Rows of q, all heads.
  std::size_t rows() const;

 private:
  py::array q_, k_, v_;
  std::string type_, layout_;
  Texts scale_types_;  ///< of the codes of q, k and v
  Scales scales_;
  karat_scales given_scales_{};
  karat_heads given_;
};

/// A matrix of blocks; or lists of blocks, pairs, or both; keeps the arrays alive.
class Mask {
 public:
  using Array = std::optional<py::array>;
  Mask(Array kv_num_blocks, Array kv_indices, Array full_kv_num_blocks, Array full_kv_indices,
       Array matrix, std::array<int, 2> block_size, Array keep, const std::string& order);
  /// Into the fields of the same names.
  template <typename Args>
  void put(Args& args) const {
    args.block_matrix = matrix_ ? &*matrix_ : nullptr;
    args.block_mask = blocks_ ? &*blocks_ : nullptr;
    args.keep = pairs_;
    args.keep_positions = extent_;
    args.mask_order = order_;
  }

 private:
  std::array<Array, 6> kept_alive_;
  std::optional<karat_block_matrix> matrix_;
  std::optional<karat_block_mask> blocks_;
  const std::uint8_t* pairs_ = nullptr;
  std::int64_t extent_ = 0;
  karat_mask_order order_;
};

}  // namespace karat_python
