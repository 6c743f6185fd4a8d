#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iomanip>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include "commands.h"

namespace kit {
namespace {

// Milliseconds since 1970 of the CloudEvent's `time`, which stands before its data.
std::optional<int64_t> TimeOf(std::string_view alert) {
  constexpr std::string_view kName = R"("time":")";
  const size_t at = alert.find(kName);
  if (at == std::string_view::npos) return {};
  std::istringstream text{std::string(alert.substr(at + kName.size(), 24))};
  std::tm parts{};
  text >> std::get_time(&parts, "%Y-%m-%dT%H:%M:%S");
  if (text.fail()) return {};
  int64_t ms = 0;
  if (text.peek() == '.') {
    text.get();
    text >> ms;
  }
  return static_cast<int64_t>(timegm(&parts)) * 1000 + ms;
}

double Quantile(const std::vector<int64_t>& ascending, double q) {
  const auto at = static_cast<size_t>(q * static_cast<double>(ascending.size() - 1));
  return static_cast<double>(ascending[at]);
}

}  // namespace

void Latency(const LatencyOptions& options) {
  const Handle consumer = NewConsumer(
      options.connection, {{"isolation.level", "read_committed"}, {"fetch.wait.max.ms", "5"}});
  const Partitions partitions = AllPartitions(consumer.get(), {options.topic});
  const Partitions ends = Edges(consumer.get(), partitions.get(), Edge::kEnd);
  rd_kafka_assign(consumer.get(), ends.get());
  using Clock = std::chrono::system_clock;
  const Clock::time_point start = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::vector<int64_t> late_ms;
  while (passed() < options.seconds) {
    const Message message(rd_kafka_consumer_poll(consumer.get(), 100));
    if (!message || passed() < options.skip_seconds) continue;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) Die(rd_kafka_message_errstr(message.get()));
    const int64_t now =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now().time_since_epoch())
            .count();
    const std::optional<int64_t> time =
        TimeOf({static_cast<const char*>(message->payload), message->len});
    if (time) late_ms.push_back(now - *time);
  }
  if (late_ms.empty()) Die("no alert came to " + options.topic);
  std::sort(late_ms.begin(), late_ms.end());
  std::printf("{\"alerts\":%zu,\"p50_ms\":%.0f,\"p99_ms\":%.0f,\"p999_ms\":%.0f,\"max_ms\":%.0f}\n",
              late_ms.size(), Quantile(late_ms, 0.5), Quantile(late_ms, 0.99),
              Quantile(late_ms, 0.999), static_cast<double>(late_ms.back()));
}

}  // namespace kit
