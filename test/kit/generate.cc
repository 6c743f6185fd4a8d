#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "commands.h"
#include "text.h"

namespace kit {
namespace {

constexpr int64_t kDayMs = 86'400'000;
// Events between two looks at the clock and at what was delivered: 50, or what comes in 2 ms.
constexpr int64_t kStepMin = 50;
constexpr double kStepSeconds = 0.002;

// SplitMix64 (Steele, Lea, Flood 2014): small, and the same on every platform, which <random>'s
// distributions are not.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31U);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  double Unit() { return static_cast<double>(Next() >> 11U) * 0x1.0p-53; }

 private:
  uint64_t state_;
};

// A few customers come often, most seldom (the square), unless all are alike; and a fifth of all
// leave for good at some time, so that both rules of the benchmark find something.
class Population {
 public:
  Population(int64_t size, uint64_t seed, bool uniform)
      : size_(size), seed_(seed), uniform_(uniform) {}

  int64_t Draw(Random& random, double elapsed) const {
    for (;;) {
      const double unit = random.Unit();
      const auto customer =
          static_cast<int64_t>((uniform_ ? unit : unit * unit) * static_cast<double>(size_));
      if (elapsed < LeavesAt(customer)) return customer;
    }
  }

 private:
  // As a share of the whole time; above 1: never.
  double LeavesAt(int64_t customer) const {
    Random own(seed_ ^ (static_cast<uint64_t>(customer) * 0xD6E8FEB86659FD93ULL));
    return own.Below(5) == 0 ? own.Unit() : 2.0;
  }

  int64_t size_;
  uint64_t seed_;
  bool uniform_;
};

std::string_view FormatEvent(std::array<char, 512>& out, int64_t index, const char* customer,
                             const std::string& time, Random& random) {
  static constexpr std::array kChannels{"app", "web", "store"};
  static constexpr std::array kCategories{"books", "garden", "kitchen", "music", "sports"};
  const bool purchase = random.Below(10) < 6;
  const char* channel = kChannels[random.Below(kChannels.size())];
  int size = 0;
  if (purchase) {
    size = std::snprintf(
        out.data(), out.size(),
        R"({"event_id":"g%09ld","type":"purchase","customer_id":"%s","timestamp":"%s","amount":%lu.%02lu,"currency":"EUR",)"
        R"("properties":{"channel":"%s","category":"%s"}})",
        index, customer, time.c_str(), 5 + random.Below(95), random.Below(100), channel,
        kCategories[random.Below(kCategories.size())]);
  } else {
    size =
        std::snprintf(out.data(), out.size(),
                      R"({"event_id":"g%09ld","type":"login","customer_id":"%s","timestamp":"%s",)"
                      R"("properties":{"channel":"%s","session":"%016lx","page":"/welcome-back"}})",
                      index, customer, time.c_str(), channel, random.Next());
  }
  return {out.data(), static_cast<size_t>(size)};
}

// Where the events go: to the topic, or, if there is a file, into that.
class Sink {
 public:
  explicit Sink(const GenerateOptions& options) : topic_(options.topic) {
    if (!options.file.empty()) {
      file_.reset(std::fopen(options.file.c_str(), "w"));
      if (!file_) Die("cannot write " + options.file);
      return;
    }
    producer_.emplace(options.connection, std::map<std::string, std::string>{
                                              {"compression.type", "lz4"},
                                              {"linger.ms", options.live_rate > 0 ? "5" : "50"},
                                              {"batch.size", "1000000"},
                                              {"batch.num.messages", "100000"},
                                              {"queue.buffering.max.messages", "1000000"},
                                              {"queue.buffering.max.kbytes", "524288"}});
  }

  void Put(const char* customer, std::string_view event) {
    if (producer_) {
      producer_->Send(topic_, RD_KAFKA_PARTITION_UA, customer, event);
    } else {
      std::fwrite(event.data(), 1, event.size(), file_.get());
      std::fputc('\n', file_.get());
    }
  }
  // Looks at what was delivered: now and then.
  void Poll() {
    if (producer_) producer_->Poll(0);
  }
  void Finish() {
    if (producer_) {
      producer_->Flush();
    } else if (std::fclose(file_.release()) != 0) {
      Die("cannot write all of the file: is the disk full?");
    }
  }

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  const std::string& topic_;
  std::optional<Producer> producer_;
  std::unique_ptr<std::FILE, Closer> file_;
};

}  // namespace

void Generate(const GenerateOptions& options) {
  Sink sink(options);
  Random random(options.seed);
  const Population population(options.customers, options.seed, options.uniform);
  const int64_t span_ms = options.seconds > 0 ? options.seconds * 1000 : options.days * kDayMs;
  int64_t bytes = 0;
  int64_t written_ms = -1;  // as `time`
  std::string time;
  const int64_t step = std::max(kStepMin, static_cast<int64_t>(options.live_rate * kStepSeconds));
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < options.events; ++i) {
    const double elapsed = static_cast<double>(i) / static_cast<double>(options.events);
    if (i % step == 0) {
      sink.Poll();
      if (options.live_rate > 0) {
        std::this_thread::sleep_until(
            start + std::chrono::duration<double>(static_cast<double>(i) / options.live_rate));
      }
    }
    const int64_t time_ms = options.live_rate > 0
                                ? NowMs()
                                : options.end_ms - span_ms +
                                      static_cast<int64_t>(elapsed * static_cast<double>(span_ms));
    if (time_ms != written_ms) {
      time = Rfc3339(time_ms);
      written_ms = time_ms;
    }
    std::array<char, 24> customer{};
    const bool first = options.everybody_first && i < options.customers;
    std::snprintf(customer.data(), customer.size(), "c%07ld",
                  first ? i : population.Draw(random, elapsed));
    std::array<char, 512> buffer{};
    const std::string_view event = FormatEvent(buffer, i, customer.data(), time, random);
    sink.Put(customer.data(), event);
    bytes += static_cast<int64_t>(event.size());
  }
  sink.Finish();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "{\"events\":%ld,\"bytes_per_event\":%.1f,\"seconds\":%.3f,\"first\":\"%s\",\"last\":\"%s\"}"
      "\n",
      options.events, static_cast<double>(bytes) / static_cast<double>(options.events), seconds,
      Rfc3339(options.end_ms - span_ms).c_str(), Rfc3339(options.end_ms).c_str());
}

}  // namespace kit
