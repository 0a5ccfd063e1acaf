// Requests, answers and pieces. See hdf5_servers.hpp.
#include <algorithm>
#include <exception>
#include <nlohmann/json.hpp>

#include "servers.hpp"

namespace karat::files {
namespace {

class PieceWalk {
 public:
  PieceWalk(const Shape& count, const Shape& chunk, std::size_t element_size, std::size_t limit,
            const std::function<void(const Shape&, const Shape&)>& visit)
      : whole_(count), chunk_(chunk), limit_(limit), visit_(visit), row_bytes_(count.size()) {
    std::size_t bytes = element_size;
    for (std::size_t axis = count.size(); axis-- > 0;) {
      row_bytes_[axis] = bytes;
      bytes *= count[axis];
    }
  }

  /// Cuts along `axis` into as many rows as fit, at least one; rows too large are cut further.
  void cut(std::size_t axis, Shape offset, Shape count) const {
    if (axis == whole_.size()) return visit_(offset, count);
    const std::size_t end = offset[axis] + whole_[axis];
    const std::size_t rows = std::max<std::size_t>(limit_ / row_bytes_[axis], 1);
    while (offset[axis] < end) {
      count[axis] = cut_length(axis, offset[axis], std::min(rows, end - offset[axis]), end);
      if (row_bytes_[axis] > limit_) {
        cut(axis + 1, offset, count);
      } else {
        visit_(offset, count);
      }
      offset[axis] += count[axis];
    }
  }

 private:
  std::size_t cut_length(std::size_t axis, std::size_t at, std::size_t rows,
                         std::size_t end) const {
    if (chunk_.empty() || at + rows == end) return rows;
    const std::size_t border = (at + rows) / chunk_[axis] * chunk_[axis];
    return border > at ? border - at : rows;
  }

  const Shape& whole_;
  const Shape& chunk_;
  std::size_t limit_;
  const std::function<void(const Shape&, const Shape&)>& visit_;
  Shape row_bytes_;  ///< bytes of one step along each axis of the box
};

}  // namespace

void for_each_piece(const Shape& offset, const Shape& count, const Shape& chunk,
                    std::size_t element_size, std::size_t limit,
                    const std::function<void(const Shape&, const Shape&)>& visit) {
  if (std::ranges::find(count, std::size_t{0}) != count.end()) return;
  PieceWalk(count, chunk, element_size, limit, visit).cut(0, offset, count);
}

Channel::Message ask(const Channel& channel, const Json& request, std::span<const std::byte> data) {
  channel.send(request, data);
  Channel::Message answer = channel.receive();
  if (!answer.text.is_object()) throw Broken{};
  if (answer.text.contains("error")) {
    const Json& text = answer.text["error"];
    const Json& error = answer.text["errno"];
    if (!text.is_string() || !error.is_number_integer()) throw Broken{};
    throw Hdf5Failure{.text = text.get<std::string>(), .error = error.get<int>()};
  }
  return answer;
}

void answer_requests(const Channel& channel,
                     const std::function<void(const Channel::Message& request)>& handle) {
  const auto refuse = [&](const std::string& text, int error) {
    channel.send({{"error", text}, {"errno", error}});
  };
  while (true) {
    Channel::Message request;
    try {
      request = channel.receive();
    } catch (const Broken&) {
      return;  // the parent hung up
    }
    try {
      handle(request);
    } catch (const Hdf5Failure& failure) {
      refuse(failure.text, failure.error);
    } catch (const std::bad_alloc&) {
      refuse("needs too much memory", 0);
    } catch (const std::exception& exception) {
      refuse(exception.what(), 0);
    }
  }
}

}  // namespace karat::files
