// See channel.hpp. A message is two native 64-bit lengths, the text, the data.
#include "channel.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <string>

#include "karat/numerics/base/error.hpp"

namespace karat::files {
namespace {

constexpr std::uint64_t kMaxText = std::uint64_t{256} << 20;

}  // namespace

Channel::~Channel() { ::close(socket_); }

void Channel::send_bytes(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw Broken{};
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void Channel::send(const Json& text, std::span<const std::byte> data) const {
  // Names from a file may be any bytes; what is not UTF-8 shows as U+FFFD.
  const std::string body = text.dump(-1, ' ', false, Json::error_handler_t::replace);
  const std::array<std::uint64_t, 2> sizes{body.size(), data.size()};
  send_bytes(std::as_bytes(std::span(sizes)));
  send_bytes(std::as_bytes(std::span(body)));
  send_bytes(data);
}

Channel::Message Channel::receive() const {
  std::array<std::uint64_t, 2> sizes{};
  receive_data(std::as_writable_bytes(std::span(sizes)));
  if (sizes[0] > kMaxText) throw Broken{};
  std::string body(static_cast<std::size_t>(sizes[0]), '\0');
  receive_data(std::as_writable_bytes(std::span(body)));
  try {
    return {.text = parse_json(body, "message"), .data_size = sizes[1]};
  } catch (const Error&) {
    throw Broken{};
  }
}

void Channel::receive_data(std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::recv(socket_, out.data(), out.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) throw Broken{};
    out = out.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace karat::files
