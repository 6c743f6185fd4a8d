// A shard with the world around it in miniature: topics that keep their messages, a store that
// outlives the shard, a place where committed alerts go, and a wall clock that only the test moves.
#pragma once

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "given.h"
#include "shard/shard.h"
#include "store/memory_store.h"
#include "store_wrap.h"

namespace heartbeatd {

// The payload without `late_by`, the one field that tells when somebody looked.
inline std::string WithoutLateBy(const std::string& payload) {
  const size_t begin = payload.find("\"late_by\":\"");
  if (begin == std::string::npos) return payload;
  const size_t end = payload.find("\",", begin);
  return payload.substr(0, begin) + payload.substr(end + 2);
}

class ShardDriver {
 public:
  struct Setup {
    std::string rules;
    std::vector<std::string> topics = {"events"};
    TimeSource time_source = TimeSource::kEvent;
    OutagePolicy outage = {.after = OutagePolicy::kOff};
    size_t cache_bytes_max = 64u << 20;
  };

  explicit ShardDriver(Setup setup)
      : setup_(std::move(setup)),
        rules_(RulesOf(setup_.rules)),
        disk_(MakeMemoryStore()),
        log_(setup_.topics.size()) {
    arrived_.resize(setup_.topics.size(), 0);
    Open({});
  }

  // Puts a message into a topic. It does not arrive before Deliver().
  void Send(size_t topic, std::string payload, std::string key = "") {
    log_[topic].push_back({std::move(payload), std::move(key)});
  }
  // An event of this customer, under an id of its own.
  void Send(EventTime at, std::string_view customer = "c42",
            std::string_view fields = R"("type":"purchase","amount":10)", size_t topic = 0) {
    Send(topic, JsonOf(customer, fmt::format("e{}", ++ids_), at, fields));
  }
  void Tick(EventTime at, size_t topic = 0) {
    Send(topic, fmt::format(R"({{"type":"tick","timestamp":{}}})", at.ms()));
  }

  // Hands over the next `n` messages of a topic, if there are so many.
  void Deliver(size_t topic = 0, size_t n = SIZE_MAX) {
    for (; n > 0 && arrived_[topic] < log_[topic].size(); --n) {
      const size_t offset = arrived_[topic]++;
      const Message& message = log_[topic][offset];
      InputRecord record{.topic = setup_.topics[topic],
                         .offset = static_cast<int64_t>(offset),
                         .payload = message.payload};
      if (!message.key.empty()) record.key = message.key;
      shard_->Offer(topic, std::move(record), Now());
    }
  }
  // The broker is asked now where each topic ends.
  void Probe() {
    for (size_t topic = 0; topic < log_.size(); ++topic)
      shard_->OnConfirmedEnd(topic, {static_cast<int64_t>(log_[topic].size()), Now()});
  }
  // Steps until there is nothing more to do; a store that fails is asked again.
  void Run(size_t units = 1000) {
    while (true) {
      const Result<size_t> done = shard_->Step(units, wall);
      if (done && *done < units) return;
    }
  }
  void AdvanceTo(EventTime t, size_t units = 1000) {
    while (true) {
      const Result<size_t> done = shard_->AdvanceTo(t, units);
      if (done && *done < units) return;
    }
  }
  // Everything delivered, applied and committed.
  void Settle() {
    for (size_t topic = 0; topic < log_.size(); ++topic) Deliver(topic);
    Probe();
    Run();
    Commit();
  }

  void Commit() {
    for (const OutgoingAlert& alert : shard_->outbox().alerts) {
      alerts.push_back(WithoutLateBy(alert.payload));
      lines.push_back(fmt::format("{} {} {} {} {}", FormatRfc3339(alert.time), alert.customer,
                                  shard_->options().rules->rules[alert.rule].info.id,
                                  NameOf(alert.status), NameOf(alert.reason)));
    }
    for (const DeadLetter& dead : shard_->outbox().dead_letters)
      dead_letters.push_back(fmt::format("{}@{}", NameOf(dead.reason), dead.record.offset));
    for (size_t i = 0; shard_->customers().Uncommitted(i); ++i) {
    }
    shard_->OnProduced();
    shard_->OnCommitted();
  }
  // Writes behind what is committed; false if the store failed.
  bool Save() {
    if (!shard_->Save({0, wall}, "cluster")) return false;
    saved_ = {alerts.size(), dead_letters.size()};
    return true;
  }
  // The process dies. What was saved is read again; what came after it is applied again.
  void Crash() {
    alerts.resize(saved_.first);
    lines.resize(saved_.first);
    taken_ = std::min(taken_, lines.size());
    dead_letters.resize(saved_.second);
    Reopen();
  }
  // The shard is opened again with these rules. Everything must be saved.
  void ChangeRules(const std::string& rules) {
    rules_ = RulesOf(rules);
    Reopen();
  }

  // The alerts committed since the last Take().
  std::vector<std::string> Take() {
    std::vector<std::string> out(lines.begin() + static_cast<std::ptrdiff_t>(taken_), lines.end());
    taken_ = lines.size();
    return out;
  }
  Shard& shard() { return *shard_; }
  FlakyStore& store() { return *store_; }
  [[nodiscard]] bool AllArrived(size_t topic = 0) const {
    return arrived_[topic] == log_[topic].size();
  }

  WallTime wall{1'900'000'000'000};  // after every event that tests send
  std::vector<std::string> alerts;   // payloads, committed
  std::vector<std::string> lines;    // the same, for people
  std::vector<std::string> dead_letters;

 private:
  struct Message {
    std::string payload;
    std::string key;
  };

  // The wall clock never jumps here.
  [[nodiscard]] Moment Now() const { return {wall, Duration(wall.ms())}; }
  void Reopen() {
    const Result<std::optional<std::string>> bytes = disk_->LocalMeta();
    ShardMeta meta;
    if (bytes && *bytes) meta = DecodeLocalMeta(**bytes)->meta;
    for (size_t topic = 0; topic < arrived_.size(); ++topic)
      arrived_[topic] = static_cast<size_t>(meta.next[setup_.topics[topic]]);
    Open(std::move(meta));
  }
  void Open(ShardMeta meta) {
    auto store = std::make_unique<FlakyStore>(disk_);
    store_ = store.get();
    shard_ = std::make_unique<Shard>(ShardOptions{.topics = setup_.topics,
                                                  .rules = rules_,
                                                  .time_source = setup_.time_source,
                                                  .outage = setup_.outage,
                                                  .cache_bytes_max = setup_.cache_bytes_max},
                                     std::move(store), std::move(meta));
  }

  Setup setup_;
  std::shared_ptr<const RuleSet> rules_;
  std::shared_ptr<Store> disk_;
  std::vector<std::deque<Message>> log_;  // the topics: a deque, since records point into it
  std::vector<size_t> arrived_;
  FlakyStore* store_ = nullptr;
  std::unique_ptr<Shard> shard_;
  std::pair<size_t, size_t> saved_{0, 0};
  size_t taken_ = 0;
  int ids_ = 0;
};

}  // namespace heartbeatd
