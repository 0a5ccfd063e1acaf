// What the forked children do, serve one HDF5 file until the parent hangs up, and how to ask them.
// A request is {"do": ..., ...}, perhaps with data; an answer {} or {"error", "errno"}.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <span>

#include "channel.hpp"
#include "failure.hpp"
#include "karat/files/tensor.hpp"

namespace karat::files {

/// group {name}; create {name, dtype, shape, chunk, deflate}; write {name, offset, count} + values;
/// attributes {name, values}; close.
void serve_writing(const Channel& channel, const std::filesystem::path& path);

/// list: answers {datasets: [{name, dtype, shape, chunk, problem}, ...] in the order that
/// HDF5 visits them, attributes: [[object, attributes], ...]};
/// read {index, offset, count}: answers with the values.
void serve_reading(const Channel& channel, const std::filesystem::path& path,
                   std::chrono::seconds patience);

/// Sends a request and takes the answer. Throws Hdf5Failure if that is an error.
Channel::Message ask(const Channel& channel, const Json& request,
                     std::span<const std::byte> data = {});

/// In a child: answers requests by `handle` until the parent hangs up; its Hdf5Failure and any
/// other exception become an error answer.
void answer_requests(const Channel& channel,
                     const std::function<void(const Channel::Message& request)>& handle);

/// Cuts a box into smaller ones of at most `limit` bytes, each contiguous in the row-major order of
/// the box and met in that order; cuts fall on chunk borders where they can. Calls nothing for an
/// empty box.
void for_each_piece(const Shape& offset, const Shape& count, const Shape& chunk,
                    std::size_t element_size, std::size_t limit,
                    const std::function<void(const Shape& offset, const Shape& count)>& visit);

/// Bytes of values in one message.
constexpr std::size_t kPieceBytes = std::size_t{16} << 20;

}  // namespace karat::files
