// Strict reading and stable writing of JSON. Values keep the order their fields were written in.
// Reading refuses what the grammar lets pass but nobody means: a key given twice, absurd depth.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>

#include "karat/numerics/base/error.hpp"

namespace karat::files {

using Json = nlohmann::ordered_json;

/// Objects and arrays inside each other, at most.
constexpr std::size_t kMaxJsonDepth = 64;

/// The value of a JSON text (RFC 8259, UTF-8). Throws Error(syntax)
/// "subject: line 3, column 7: what is wrong"; columns count bytes from 1.
/// @param syntax usage where the text is something a user writes for karat, such as a recipe
Json parse_json(std::string_view text, const std::string& subject,
                ErrorKind syntax = ErrorKind::input_output);
Json parse_json(std::span<const std::byte> text, const std::string& subject);

/// parse_json of a file of at most 64 MiB; one that cannot be read is Error(input_output).
Json read_json(const std::filesystem::path& path, ErrorKind syntax = ErrorKind::input_output);

/// The text of a value: two spaces a level; an array or object of plain values stays on one line
/// while that line fits 100 columns; shortest decimals that read back the same; a final newline.
/// Equal values give equal bytes. Throws Error(internal) for strings that are not UTF-8 and for
/// numbers that JSON cannot hold (NaN, infinities).
std::string format_json(const Json& value);

/// format_json into a file, atomically.
void write_json(const std::filesystem::path& path, const Json& value);

}  // namespace karat::files
