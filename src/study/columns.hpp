// Rows as columns: one table of columns says how rows become datasets of a file, lists of JSON, and
// rows again.
#pragma once

#include <array>
#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "karat/files/hdf5.hpp"
#include "karat/files/json_file.hpp"
#include "karat/files/request.hpp"
#include "karat/numerics/base/error.hpp"

namespace karat::study {

template <class Row>
struct Column {
  std::string_view name;
  files::DType dtype;  ///< f64, i32, or u8 for enumerators
  double (*get)(const Row&);
  void (*set)(Row&, double);
};

/// A member, or a member's member.
template <auto... kPath, class Row>
constexpr auto& member_of(Row& row) {
  return (row.*....*kPath);
}

/// The column of a member, or of a member's member.
template <auto kMember, auto... kInner>
constexpr auto column(std::string_view name) {
  using Row = files::request::Owner<kMember>;
  using Value = std::remove_cvref_t<decltype(member_of<kMember, kInner...>(std::declval<Row&>()))>;
  return Column<Row>{
      .name = name,
      .dtype = std::is_enum_v<Value>             ? files::DType::u8
               : std::is_floating_point_v<Value> ? files::DType::f64
                                                 : files::DType::i32,
      .get = [](const Row& row) { return static_cast<double>(member_of<kMember, kInner...>(row)); },
      .set = [](Row& row,
                double value) { member_of<kMember, kInner...>(row) = static_cast<Value>(value); }};
}

/// Datasets GROUP/NAME, one a column.
template <class Row>
void write_columns(files::Hdf5Writer& file, const std::string& group, const std::vector<Row>& rows,
                   std::type_identity_t<std::span<const Column<Row>>> columns) {
  for (const Column<Row>& column : columns) {
    const auto write = [&]<class T>(T) {
      std::vector<T> values;
      for (const Row& row : rows) values.push_back(static_cast<T>(column.get(row)));
      file.write(group + "/" + std::string(column.name),
                 files::make_tensor(column.dtype, {values.size()}, values));
    };
    if (column.dtype == files::DType::u8) write(std::uint8_t{});
    if (column.dtype == files::DType::i32) write(std::int32_t{});
    if (column.dtype == files::DType::f64) write(double{});
  }
}

/// @throws Error(input_output) naming `subject` for columns of different length
template <class Row>
std::vector<Row> read_columns(const files::Hdf5Reader& file, const std::string& group,
                              std::span<const Column<Row>> columns, const std::string& subject) {
  std::vector<Row> rows;
  for (const Column<Row>& column : columns) {
    const files::Tensor tensor = file.read(group + "/" + std::string(column.name));
    const auto read = [&](auto values) {
      if (&column == columns.data()) rows.resize(values.size());
      if (values.size() != rows.size())
        throw Error(ErrorKind::input_output, subject, "has columns of different length",
                    "let karat study write it again");
      for (std::size_t i = 0; i < rows.size(); ++i)
        column.set(rows[i], static_cast<double>(values[i]));
    };
    if (column.dtype == files::DType::u8) read(tensor.as<std::uint8_t>());
    if (column.dtype == files::DType::i32) read(tensor.as<std::int32_t>());
    if (column.dtype == files::DType::f64) read(tensor.as<double>());
  }
  return rows;
}

/// null for NaN
inline files::Json json_number(double value) {
  return std::isnan(value) ? files::Json(nullptr) : files::Json(value);
}
inline double number_of(const files::Json& json) {
  return json.is_null() ? std::nan("") : json.get<double>();
}

/// [value, ...]
template <class Row>
files::Json json_row(const Row& row, std::type_identity_t<std::span<const Column<Row>>> columns) {
  files::Json list = files::Json::array();
  for (const Column<Row>& column : columns) {
    const double value = column.get(row);
    list.push_back(column.dtype == files::DType::f64
                       ? json_number(value)
                       : files::Json(static_cast<std::int64_t>(value)));
  }
  return list;
}

/// @throws nlohmann's exceptions for anything else than json_row() makes
template <class Row>
Row row_of(const files::Json& list, std::span<const Column<Row>> columns) {
  Row row{};
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i].set(row, number_of(list.at(i)));
  return row;
}

/// The shortest decimal that reads back the same; empty for NaN, which stands for "not known".
inline std::string csv_decimal(double value) {
  if (std::isnan(value)) return "";
  std::array<char, 32> text;
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), value).ptr};
}

}  // namespace karat::study
