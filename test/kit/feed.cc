#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "commands.h"
#include "lines.h"

namespace kit {
namespace {

using SteadyClock = std::chrono::steady_clock;

struct Fields {
  std::string customer_id;
  std::string type;
};

// Empty fields where the line is no JSON object or lacks them: such a line is sent all the same,
// for the daemon to judge.
Fields ReadFields(simdjson::dom::parser& parser, const std::string& line) {
  Fields fields;
  simdjson::dom::object object;
  std::string_view text;
  if (parser.parse(line).get(object) != simdjson::SUCCESS) return fields;
  if (object["customer_id"].get(text) == simdjson::SUCCESS) fields.customer_id = text;
  if (object["type"].get(text) == simdjson::SUCCESS) fields.type = text;
  return fields;
}

// Shows how far the feed is, ten times a second at most.
class ProgressReport {
 public:
  ProgressReport(Progress style, int64_t total) : style_(style), total_(total) {}

  void Update(int64_t sent) {
    const SteadyClock::time_point now = SteadyClock::now();
    if (style_ == Progress::kNone || now < next_) return;
    next_ = now + std::chrono::milliseconds(100);
    Print(sent);
  }

  void Finish(int64_t sent) {
    if (style_ == Progress::kBar) {
      Print(sent);
      std::fputc('\n', stderr);
    }
  }

 private:
  void Print(int64_t sent) const {
    if (style_ == Progress::kJson) {
      std::printf("{\"sent\":%ld,\"total\":%ld}\n", sent, total_);
      std::fflush(stdout);
      return;
    }
    constexpr int64_t kWidth = 40;
    const int64_t filled = total_ > 0 ? std::min(kWidth, sent * kWidth / total_) : 0;
    const std::string bar = std::string(static_cast<size_t>(filled), '#') +
                            std::string(static_cast<size_t>(kWidth - filled), '.');
    std::fprintf(stderr, "\r[%s] %ld/%ld", bar.c_str(), sent, total_);
  }

  Progress style_;
  int64_t total_;
  SteadyClock::time_point next_;
};

// Serves the producer until event number `index` is due at this rate.
void Pace(Producer& producer, SteadyClock::time_point start, int64_t index, double rate) {
  if (rate <= 0) return;
  const auto due = start + std::chrono::duration_cast<SteadyClock::duration>(
                               std::chrono::duration<double>(static_cast<double>(index) / rate));
  for (SteadyClock::time_point now = SteadyClock::now(); now + std::chrono::milliseconds(1) < due;
       now = SteadyClock::now()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(due - now);
    producer.Poll(static_cast<int>(std::min<int64_t>(left.count(), 50)));
  }
}

}  // namespace

void Feed(const FeedOptions& options) {
  const int64_t lines =
      options.progress == Progress::kNone ? 0 : CountLines(options.file) - options.skip;
  const int64_t total = std::clamp<int64_t>(lines, 0, options.limit);
  Producer producer(options.connection, {{"linger.ms", "5"}, {"compression.type", "lz4"}});
  LineReader reader(options.file);
  ProgressReport progress(options.progress, total);
  simdjson::dom::parser parser;
  std::string line;
  int64_t seen = 0;
  int64_t sent = 0;
  const SteadyClock::time_point start = SteadyClock::now();
  while (sent < options.limit && reader.Next(line)) {
    if (line.empty() || ++seen <= options.skip) continue;
    Pace(producer, start, sent, options.rate);
    const Fields fields = ReadFields(parser, line);
    const auto routed = options.route.find(fields.type);
    producer.Send(routed == options.route.end() ? options.topic : routed->second,
                  RD_KAFKA_PARTITION_UA, fields.customer_id, line);
    producer.Poll(0);
    progress.Update(++sent);
  }
  producer.Flush();
  progress.Finish(sent);
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  std::printf("{\"sent\":%ld,\"delivered\":%ld,\"seconds\":%.3f}\n", sent, producer.delivered(),
              seconds);
}

}  // namespace kit
