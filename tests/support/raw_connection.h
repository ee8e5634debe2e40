// A connection of a client that does not keep to the rules: bytes as they are, and HTTP/2 by hand.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>

namespace proad::testing {

class RawConnection {
 public:
  explicit RawConnection(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) std::abort();
  }
  RawConnection(RawConnection&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  ~RawConnection() { Close(); }

  // False when the server has hung up.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }

  // Waits until the server hangs up; returns the bytes that it sent before.
  std::string ReadToEnd() {
    std::string read;
    char buffer[4096];
    for (ssize_t n = 0; (n = recv(fd_, buffer, sizeof(buffer), 0)) > 0;) {
      read.append(buffer, static_cast<size_t>(n));
    }
    return read;
  }

  void Close() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

  // Without goodbye: the other side sees a reset.
  void Reset() {
    const linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    Close();
  }

 private:
  int fd_;
};

// Pieces of HTTP/2 (RFC 9113) and of gRPC on top of it.
namespace http2 {

inline constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string BigEndian(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(value >> (8 * i)));
  return text;
}

enum Type { kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kContinuation = 9 };

inline std::string Frame(Type type, int flags, uint32_t stream, const std::string& payload) {
  return BigEndian(payload.size(), 3) + static_cast<char>(type) + static_cast<char>(flags) +
         BigEndian(stream, 4) + payload;
}

// No setting, or how many bytes of a stream the server may send before it is asked for more.
inline std::string Settings() { return Frame(kSettings, 0, 0, ""); }
inline std::string SettingsWithWindow(uint32_t bytes) {
  return Frame(kSettings, 0, 0, BigEndian(4, 2) + BigEndian(bytes, 4));
}

// A header field that is not compressed (RFC 7541, 6.2.2); shorter than 127 bytes each.
inline std::string Field(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

// The headers of a gRPC call.
inline std::string Call(uint32_t stream, const std::string& method) {
  constexpr int kEndHeaders = 4;
  return Frame(kHeaders, kEndHeaders, stream,
               Field(":method", "POST") + Field(":scheme", "http") + Field(":path", method) +
                   Field(":authority", "localhost") + Field("te", "trailers") +
                   Field("content-type", "application/grpc"));
}

// The first `bytes` of a message, framed as gRPC does, of which `announced` are said to come.
inline std::string Message(uint32_t stream, const std::string& bytes, uint32_t announced) {
  return Frame(kData, 0, stream, std::string(1, '\0') + BigEndian(announced, 4) + bytes);
}
inline std::string Message(uint32_t stream, const std::string& bytes) {
  return Message(stream, bytes, static_cast<uint32_t>(bytes.size()));
}

}  // namespace http2
}  // namespace proad::testing
