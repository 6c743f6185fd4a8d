#include "daemon/http/routes.h"

#include <httplib.h>

namespace heartbeatd {
namespace {

constexpr time_t kTimeoutSeconds = 5;
constexpr size_t kBodyBytesMax = 64 * 1024;

void Answer(const Health& health, httplib::Response& response) {
  response.status = health.ok ? 200 : 503;
  response.set_content(health.text + "\n", "text/plain; charset=utf-8");
}

}  // namespace

void AddRoutes(const HttpSources& sources, httplib::Server* server) {
  server->set_read_timeout(kTimeoutSeconds);
  server->set_write_timeout(kTimeoutSeconds);
  server->set_payload_max_length(kBodyBytesMax);
  server->Get("/metrics", [sources](const httplib::Request&, httplib::Response& response) {
    response.set_content(sources.metrics.Text(), "text/plain; version=0.0.4; charset=utf-8");
  });
  server->Get("/livez", [sources](const httplib::Request&, httplib::Response& response) {
    Answer(sources.live(), response);
  });
  server->Get("/readyz", [sources](const httplib::Request&, httplib::Response& response) {
    Answer(sources.ready(), response);
  });
  server->Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("heartbeatd: /metrics /livez /readyz\n", "text/plain; charset=utf-8");
  });
}

}  // namespace heartbeatd
