#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <functional>
#include <iomanip>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "text.h"

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

// The text of the alert's `late_by`, which has no quotes in it; empty if there is none.
std::string_view LateByOf(std::string_view alert) {
  constexpr std::string_view kName = R"("late_by":")";
  const size_t at = alert.find(kName);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = alert.substr(at + kName.size());
  return rest.substr(0, rest.find('"'));
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
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  const auto passed = [&] { return std::chrono::duration<double>(Clock::now() - start).count(); };
  std::vector<int64_t> late_ms;
  std::map<std::string, size_t, std::less<>> late_by;
  while (passed() < options.seconds && late_ms.size() < options.alerts_max) {
    const Message message(rd_kafka_consumer_poll(consumer.get(), 100));
    if (!message || passed() < options.skip_seconds) continue;
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) Die(rd_kafka_message_errstr(message.get()));
    const int64_t now = NowMs();
    const std::string_view alert(static_cast<const char*>(message->payload), message->len);
    const std::optional<int64_t> time = TimeOf(alert);
    if (!time) continue;
    late_ms.push_back(now - *time);
    const std::string_view text = LateByOf(alert);
    auto seen = late_by.find(text);
    if (seen == late_by.end()) seen = late_by.emplace(text, 0).first;
    ++seen->second;
  }
  if (late_ms.empty()) Die("no alert came to " + options.topic);
  std::sort(late_ms.begin(), late_ms.end());
  std::string texts;
  for (const auto& [text, count] : late_by) {
    if (!texts.empty()) texts += ',';
    AppendJsonString(texts, text);
    texts += ':' + std::to_string(count);
  }
  std::printf(
      "{\"alerts\":%zu,\"p50_ms\":%.0f,\"p99_ms\":%.0f,\"p999_ms\":%.0f,\"max_ms\":%.0f,"
      "\"late_by\":{%s}}\n",
      late_ms.size(), Quantile(late_ms, 0.5), Quantile(late_ms, 0.99), Quantile(late_ms, 0.999),
      static_cast<double>(late_ms.back()), texts.c_str());
}

}  // namespace kit
