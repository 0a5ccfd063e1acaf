// A strided window on numbers that live elsewhere; transposing swaps the strides.
#pragma once

#include <cstddef>

namespace karat::numerics {

/// Element (i, j) is data[i * row_stride + j * column_stride]; strides count elements.
template <typename T>
struct MatrixView {
  T* data = nullptr;
  std::size_t rows = 0;
  std::size_t columns = 0;
  std::size_t row_stride = 0;
  std::size_t column_stride = 1;

  T& operator()(std::size_t i, std::size_t j) const {
    return data[i * row_stride + j * column_stride];
  }
  MatrixView transposed() const { return {data, columns, rows, column_stride, row_stride}; }
  MatrixView rows_from(std::size_t first, std::size_t count) const {
    return {data + first * row_stride, count, columns, row_stride, column_stride};
  }
  operator MatrixView<const T>() const {
    return {data, rows, columns, row_stride, column_stride};
  }
};

template <typename T>
MatrixView<T> row_major(T* data, std::size_t rows, std::size_t columns) {
  return {data, rows, columns, columns, 1};
}

}  // namespace karat::numerics
