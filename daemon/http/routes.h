// What the operators' HTTP server answers, apart from how it listens: /metrics, /livez, /readyz.
#pragma once

#include <functional>
#include <string>

#include "metrics/metrics.h"

namespace httplib {
class Server;
}

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

// Gives the server its limits and its pages. Keeps a copy of `sources`, whose metrics must outlive
// the server.
void AddRoutes(const HttpSources& sources, httplib::Server* server);

}  // namespace heartbeatd
