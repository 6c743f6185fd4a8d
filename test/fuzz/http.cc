// HTTP requests: our routes and handlers over a connection in memory, through the production set-up
// of cpp-httplib's server, one request after the other until the connection is at its end. Not
// covered: sockets, threads and time limits. cpp-httplib itself comes from Debian without
// instrumentation: it is run, but libFuzzer does not see its branches.
#include <httplib.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "daemon/http/routes.h"
#include "fuzz/fuzz.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

// No `override`: which of these functions exist depends on cpp-httplib's version.
class Connection final : public httplib::Stream {
 public:
  explicit Connection(std::string_view request) : rest_(request) {}

  bool is_readable() const { return true; }
  bool is_writable() const { return true; }
  bool wait_readable() const { return true; }
  bool wait_writable() const { return true; }
  ssize_t read(char* to, size_t size) {
    const size_t count = std::min(size, rest_.size());
    if (count > 0) std::memcpy(to, rest_.data(), count);
    rest_.remove_prefix(count);
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* from, size_t size) {
    answer_.append(from, size);
    return static_cast<ssize_t>(size);
  }
  void get_remote_ip_and_port(std::string& ip, int& port) const {
    ip = "127.0.0.1";
    port = 1;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const { get_remote_ip_and_port(ip, port); }
  socket_t socket() const { return -1; }
  time_t duration() const { return 0; }

  [[nodiscard]] bool AtEnd() const { return rest_.empty(); }
  std::string TakeAnswer() { return std::exchange(answer_, {}); }

 private:
  std::string_view rest_;
  std::string answer_;
};

class Server final : public httplib::Server {
 public:
  // False: the connection is over.
  template <typename Stream>
  bool Answer(Stream& connection) {
    bool closed = false;
    const bool more = Process(*this, connection, &closed);
    return more && !closed;
  }

 private:
  template <typename Self, typename Stream>
  static bool Process(Self& self, Stream& connection, bool* closed) {
    if constexpr (requires { self.process_request(connection, false, *closed, nullptr); }) {
      return self.process_request(connection, false, *closed, nullptr);
    } else {  // cpp-httplib 0.18 and newer
      return self.process_request(connection, "127.0.0.1", 1, "127.0.0.1", 1, false, *closed,
                                  nullptr);
    }
  }
};

Server& TheServer() {
  static Metrics metrics;
  static Server server;
  static const bool kReady = [] {
    metrics.AddEvents("applied", 1);
    AddRoutes({.metrics = metrics,
               .live = [] { return Health{true, "ok"}; },
               .ready = [] { return Health{false, "joining or restoring"}; }},
              &server);
    return true;
  }();
  (void)kReady;
  return server;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Connection connection(fuzz::TextOf(data, size));
  bool more = true;
  while (more && !connection.AtEnd()) {
    more = TheServer().Answer(connection);
    const std::string answer = connection.TakeAnswer();
    if (answer.empty()) break;
    Require(answer.starts_with("HTTP/1.1 "), "a status line");
    Require(answer.starts_with("HTTP/1.1 100 ") || answer.find("\r\n\r\n") != std::string::npos,
            "headers with an end");
  }
  return 0;
}
