#include "daemon/backtest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "daemon/config.h"
#include "event/json_lines.h"
#include "shard/shard.h"
#include "store/memory_store.h"

namespace heartbeatd {
namespace {

constexpr size_t kStep = 10'000;  // events and timers between two looks at the outbox

struct FileCloser {
  void operator()(std::FILE* file) const {
    if (file != nullptr && file != stdout) std::fclose(file);
  }
};

class Backtest {
 public:
  Backtest(const BacktestOptions& options, LoadedConfig config)
      : options_(options), config_(std::move(config)) {}

  Status Run() {
    if (options_.until) {
      until_ = ParseRfc3339(*options_.until);
      if (!until_)
        return Fail(
            fmt::format("--until: '{}' is no time: write 2026-03-01T00:00:00Z", *options_.until),
            ExitCode::kUsage);
    }
    if (options_.alerts) {
      out_.reset(*options_.alerts == "-" ? stdout : std::fopen(options_.alerts->c_str(), "w"));
      if (!out_)
        return Fail(fmt::format("--alerts: cannot write {}: {}", *options_.alerts,
                                std::generic_category().message(errno)));
    }
    shard_ = std::make_unique<Shard>(ShardOptions{.topics = {"input"},
                                                  .rules = config_.rules,
                                                  .format = config_.daemon.input.format,
                                                  .time_source = TimeSource::kEvent,
                                                  .future_skew = config_.daemon.future_skew,
                                                  .cache_bytes_max = config_.daemon.memory_bytes},
                                     MakeMemoryStore(), ShardMeta{});
    if (Status read = ReadInput(); !read) return read;
    if (Status ended = Advance(until_.value_or(shard_->clock())); !ended) return ended;
    if (Status measured = MeasureStates(); !measured) return measured;
    Print();
    WarnOfUnknownProperties();
    return {};
  }

 private:
  Status ReadInput() {
    Result<JsonLinesReader> reader = JsonLinesReader::Open(options_.input);
    if (!reader) return std::unexpected(std::move(reader.error()));
    EventDecoder peek(config_.rules->schema, config_.rules->currency, config_.daemon.input.format);
    Event event;
    int64_t offset = 0;
    std::string_view line;
    while (true) {
      const Result<bool> more = reader->Next(&line);
      if (!more) return std::unexpected(more.error());
      if (!*more) {
        Take(clock_.Now());
        return {};
      }
      // Events after the end of the backtest have not happened yet.
      if (until_ && !peek.Decode(line, &event) && event.time > *until_) {
        ++after_until_;
        continue;
      }
      shard_->Offer(0, InputRecord{.topic = "input", .offset = offset, .payload = line},
                    clock_.Read());
      ++offset;
      // The line is good until the next one is read.
      if (Status stepped = Drain(); !stepped) return stepped;
      if (offset % static_cast<int64_t>(kStep) == 0) Take(clock_.Now());
    }
  }

  // Does all that there is to do. What comes of it may stay with the shard for a while.
  Status Drain() {
    while (true) {
      const Result<size_t> done = shard_->Step(kStep, clock_.Now());
      if (!done) return std::unexpected(done.error());
      if (*done < kStep) return {};
      Take(clock_.Now());
    }
  }

  Status Advance(EventTime t) {
    if (t == EventTime::Min()) return {};
    while (true) {
      const Result<size_t> done = shard_->AdvanceTo(t, kStep);
      if (!done) return std::unexpected(done.error());
      Take(clock_.Now());
      if (*done < kStep) return {};
    }
  }

  // Plays the part of the commit.
  void Take(WallTime now) {
    for (const OutgoingAlert& alert : shard_->outbox().alerts) {
      if (out_) fmt::print(out_.get(), "{}\n", alert.payload);
      ++alerts_[{config_.rules->rules[alert.rule].info.id, std::string(NameOf(alert.status))}];
    }
    for (const DeadLetter& dead : shard_->outbox().dead_letters)
      ++refused_[std::string(NameOf(dead.reason))];
    if (!shard_->HasChanges() && !shard_->HasMoved()) return;
    shard_->OnProduced();
    shard_->OnCommitted();
    if (!shard_->customers().Trim()) (void)shard_->Save({0, now}, "");
  }

  // How long the customers' changelog records are.
  Status MeasureStates() {
    if (Status saved = shard_->Save({0, clock_.Now()}, ""); !saved) return saved;
    std::string after;
    while (true) {
      const auto customers = shard_->store().Customers(after, kStep);
      if (!customers) return std::unexpected(customers.error());
      if (customers->empty()) break;
      for (const auto& [id, value] : *customers) {
        const Result<CustomerTable::Stored> stored = CustomerTable::ParseStored(value);
        if (!stored) return std::unexpected(stored.error());
        state_bytes_.push_back(stored->encoded.size());
      }
      after = customers->back().first;
    }
    std::sort(state_bytes_.begin(), state_bytes_.end());
    return {};
  }

  // Of all customers; 0.5: the median.
  [[nodiscard]] size_t StateBytes(double quantile) const {
    const auto last = static_cast<double>(state_bytes_.size() - 1);
    return state_bytes_[static_cast<size_t>(std::llround(quantile * last))];
  }
  [[nodiscard]] size_t MeanStateBytes() const {
    return std::accumulate(state_bytes_.begin(), state_bytes_.end(), size_t{0}) /
           state_bytes_.size();
  }

  // A rule that waits for a misspelt property waits for ever, and nobody is told.
  void WarnOfUnknownProperties() {
    const EventSchema& schema = config_.rules->schema;
    const ShardCounters& counters = shard_->counters();
    if (counters.applied + counters.late == 0) return;
    std::vector<std::string> carried;
    for (size_t i = 0; i < schema.properties().size(); ++i) {
      if (shard_->HasCarried(static_cast<int>(i))) carried.push_back(schema.properties()[i]);
    }
    for (const EventSchema::Mention& mention : schema.mentions()) {
      if (shard_->HasCarried(mention.property)) continue;
      const std::string& name = schema.properties()[static_cast<size_t>(mention.property)];
      fmt::print(stderr,
                 "warning: {}: 'where' of {} names the property '{}', which no event of this run "
                 "carried{}\n",
                 mention.place.ToString(), mention.of, name, DidYouMean(name, carried));
    }
  }

  void Print() {
    std::FILE* to = options_.alerts == "-" ? stderr : stdout;
    const ShardCounters& counters = shard_->counters();
    if (options_.format == "json") {
      nlohmann::ordered_json summary{{"events", counters.applied + counters.late},
                                     {"late", counters.late},
                                     {"duplicates", counters.duplicates},
                                     {"timers_fired", counters.timers_fired},
                                     {"refused", refused_},
                                     {"after_until", after_until_},
                                     {"customers", shard_->customers_known()},
                                     {"until", FormatRfc3339(shard_->clock())},
                                     {"state_bytes", nullptr},
                                     {"alerts", nlohmann::ordered_json::array()}};
      if (!state_bytes_.empty()) {
        summary["state_bytes"] = {{"mean", MeanStateBytes()},
                                  {"median", StateBytes(0.5)},
                                  {"p99", StateBytes(0.99)},
                                  {"max", state_bytes_.back()}};
      }
      for (const auto& [what, n] : alerts_)
        summary["alerts"].push_back({{"rule", what.first}, {"status", what.second}, {"count", n}});
      fmt::print(to, "{}\n", summary.dump());
      return;
    }
    fmt::print(to, "{} events of {} customers until {}", counters.applied + counters.late,
               shard_->customers_known(),
               shard_->clock() == EventTime::Min() ? "-" : FormatRfc3339(shard_->clock()));
    fmt::print(to, " ({} late, {} repeated, {} after the end)\n", counters.late,
               counters.duplicates, after_until_);
    if (!state_bytes_.empty()) {
      fmt::print(to, "  state: {} bytes per customer (median {}, 99 % up to {}, at most {})\n",
                 MeanStateBytes(), StateBytes(0.5), StateBytes(0.99), state_bytes_.back());
    }
    for (const auto& [reason, n] : refused_) fmt::print(to, "  refused: {:<28}{:>10}\n", reason, n);
    if (alerts_.empty()) fmt::print(to, "  no alerts\n");
    for (const auto& [what, n] : alerts_)
      fmt::print(to, "  {:<28}{:<10}{:>10}\n", what.first, what.second, n);
  }

  const BacktestOptions& options_;
  LoadedConfig config_;
  SystemClock clock_;
  std::optional<EventTime> until_;
  std::unique_ptr<std::FILE, FileCloser> out_;
  std::unique_ptr<Shard> shard_;
  std::map<std::pair<std::string, std::string>, uint64_t> alerts_;  // by rule and status
  std::map<std::string, uint64_t> refused_;
  uint64_t after_until_ = 0;
  std::vector<size_t> state_bytes_;  // of each customer at the end, ascending
};

}  // namespace

Status RunBacktest(const BacktestOptions& options) {
  Result<LoadedConfig> config = LoadConfig(options.configs, ConfigUse::kBacktest);
  if (!config) return std::unexpected(std::move(config.error()));
  for (const std::string& warning : config->warnings) fmt::print(stderr, "warning: {}\n", warning);
  return Backtest(options, std::move(*config)).Run();
}

}  // namespace heartbeatd
