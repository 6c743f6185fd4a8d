// The operators' HTTP server: /metrics, /livez, /readyz.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "metrics/metrics.h"

namespace heartbeatd {

// What a health page answers: fine or not, and one line of why.
struct Health {
  bool ok = false;
  std::string text;
};

// What the server may ask of the daemon. The functions are called from the server's threads.
struct HttpSources {
  const Metrics& metrics;
  std::function<Health()> live;   // the process works: otherwise restart it
  std::function<Health()> ready;  // every assigned partition is restored and being processed
};

// Serves from its own threads until destroyed. Sources must outlive it.
class HttpServer {
 public:
  // `listen`: host:port; port 0 takes any free one. Error: the address cannot be taken.
  static Result<std::unique_ptr<HttpServer>> Start(const std::string& listen, HttpSources sources);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // The port that is really listened to.
  [[nodiscard]] int port() const;

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace heartbeatd
