// Messages between a process and its forked child over a socket: a JSON text and raw bytes.
// A peer that is gone shows as Broken, never as a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>

#include "karat/files/json_file.hpp"

namespace karat::files {

/// Thrown when the other side ended or sent something that is no message.
struct Broken {};

class Channel {
 public:
  /// Owns the socket.
  explicit Channel(int socket) : socket_(socket) {}
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  void send(const Json& text, std::span<const std::byte> data = {}) const;

  struct Message {
    Json text;
    std::uint64_t data_size = 0;  ///< bytes that receive_data() must take next
  };
  Message receive() const;
  void receive_data(std::span<std::byte> out) const;

  int socket() const { return socket_; }

 private:
  void send_bytes(std::span<const std::byte> bytes) const;

  int socket_;
};

}  // namespace karat::files
