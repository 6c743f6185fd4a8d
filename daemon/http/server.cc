#include "daemon/http/server.h"

#include <fmt/format.h>
#include <httplib.h>

#include <chrono>
#include <thread>
#include <utility>

namespace heartbeatd {
namespace {

constexpr size_t kThreads = 4;

}  // namespace

struct HttpServer::Impl {
  httplib::Server server;
  std::thread thread;
  int port = 0;
};

Result<std::unique_ptr<HttpServer>> HttpServer::Start(const std::string& listen,
                                                      const HttpSources& sources) {
  auto impl = std::make_unique<Impl>();
  httplib::Server& server = impl->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  AddRoutes(sources, &server);

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
  impl->thread = std::thread([&server] { server.listen_after_bind(); });
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
