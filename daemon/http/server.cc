#include "daemon/http/server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <chrono>
#include <thread>
#include <utility>

namespace heartbeatd {
namespace {

constexpr size_t kThreads = 4;
constexpr time_t kTimeoutSeconds = 5;
constexpr size_t kBodyBytesMax = 64 * 1024;

void Answer(const Health& health, httplib::Response& response) {
  response.status = health.ok ? 200 : 503;
  response.set_content(health.text + "\n", "text/plain; charset=utf-8");
}

}  // namespace

struct HttpServer::Impl {
  explicit Impl(HttpSources s) : sources(std::move(s)) {}

  HttpSources sources;
  httplib::Server server;
  std::thread thread;
  int port = 0;
};

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                      HttpSources sources) {
  auto impl = std::make_unique<Impl>(std::move(sources));
  httplib::Server& server = impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  server.set_payload_max_length(kBodyBytesMax);
  Impl* const raw = impl.get();
  server.Get("/metrics", [raw](const httplib::Request&, httplib::Response& response) {
    response.set_content(raw->sources.metrics.Text(), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/livez", [raw](const httplib::Request&, httplib::Response& response) {
    Answer(raw->sources.live(), response);
  });
  server.Get("/readyz", [raw](const httplib::Request&, httplib::Response& response) {
    Answer(raw->sources.ready(), response);
  });
  server.Get("/", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("heartbeatd: /metrics /livez /readyz\n", "text/plain; charset=utf-8");
  });

  const size_t colon = listen.rfind(':');
  const std::string host = listen.substr(0, colon);
  const int wanted = std::stoi(listen.substr(colon + 1));
  const int port = wanted == 0 ? server.bind_to_any_port(host)
                               : (server.bind_to_port(host, wanted) ? wanted : -1);
  if (port < 0) {
    return Fail(fmt::format("http.listen: cannot listen on {}: is the port taken? Choose another, "
                            "port 0 for any free one, or off",
                            listen),
                ExitCode::kConfig);
  }
  impl->port = port;
  impl->thread = std::thread([raw] { raw->server.listen_after_bind(); });
  // stop() does nothing to a server that has not begun, which would then serve for ever.
  while (!server.is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() {
  impl_->server.stop();
  impl_->thread.join();
}

int HttpServer::port() const { return impl_->port; }

}  // namespace heartbeatd
