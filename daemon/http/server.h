// The operators' HTTP server: listens, and answers as routes.h says.
#pragma once

#include <memory>
#include <string>

#include "base/error.h"
#include "daemon/http/routes.h"

namespace heartbeatd {

// Serves from its own threads until destroyed. What the sources refer to must outlive it.
class HttpServer {
 public:
  // `listen`: host:port; port 0 takes any free one. Error: the address cannot be taken.
  static Result<std::unique_ptr<HttpServer>> Start(const std::string& listen,
                                                   const HttpSources& sources);
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
