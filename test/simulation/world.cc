#include "simulation/world.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "faulty/fault.h"
#include "simulation/machine.h"

namespace heartbeatd::sim {
namespace {

constexpr WallTime kBegin{1'900'000'000'000};
constexpr Duration kRebalanceTimeout = std::chrono::seconds(10);
constexpr Duration kTransactionTimeout = std::chrono::seconds(8);
constexpr int kActionsMax = 200'000;  // nobody acts longer than that on a few hundred messages
constexpr int kHealRoundsMax = 20'000;

}  // namespace

void Tally::Add(const Tally& other) {
  messages += other.messages;
  alerts += other.alerts;
  calls += other.calls;
  kills += other.kills;
  freezes += other.freezes;
  faults += other.faults;
  rebalances += other.rebalances;
  upstream_aborts += other.upstream_aborts;
  exits += other.exits;
  timers += other.timers;
}

World::Shape World::ShapeOf(Random* random) {
  Shape shape{.partitions = static_cast<int32_t>(random->Between(1, 3)),
              .machines = static_cast<int>(random->Between(1, 3)),
              .topics = {"events"},
              .time_source = random->OneIn(3) ? TimeSource::kWall : TimeSource::kEvent,
              .messages = static_cast<int>(random->Between(20, 150))};
  if (random->OneIn(4)) shape.topics.emplace_back("logins");
  return shape;
}

World::Temper World::TemperOf(Random* random) {
  constexpr uint64_t kKill[] = {0, 2000, 400, 120};
  constexpr uint64_t kFreeze[] = {0, 1000, 300};
  constexpr uint64_t kOvertake[] = {0, 100, 20};
  constexpr uint64_t kFail[] = {0, 200, 40};
  return {.kill = kKill[random->Below(4)],
          .freeze = kFreeze[random->Below(3)],
          .overtake = kOvertake[random->Below(3)],
          .fail = kFail[random->Below(3)]};
}

Broker::Options World::BrokerOptions() const {
  Broker::Options options{.partitions = shape_.partitions,
                          .topics = {"alerts", "dead", "changelog"},
                          .session_timeout = kSessionTimeout,
                          .rebalance_timeout = kRebalanceTimeout,
                          .transaction_timeout = kTransactionTimeout};
  options.topics.insert(options.topics.end(), shape_.topics.begin(), shape_.topics.end());
  return options;
}

World::World(uint64_t seed)
    : random_(seed),
      shape_(ShapeOf(&random_)),
      temper_(TemperOf(&random_)),
      clock_(kBegin),
      broker_(BrokerOptions(), clock_),
      workload_({.partitions = shape_.partitions,
                 .topics = shape_.topics.size(),
                 .time_source = shape_.time_source},
                &random_),
      oracle_(shape_.partitions),
      messages_left_(shape_.messages) {
  for (int i = 0; i < shape_.machines; ++i)
    machines_.push_back(std::make_unique<Machine>(*this, i));
}

World::~World() = default;

std::vector<std::string> World::Run() {
  spdlog::info("a world of {} partitions, {} topics, {} machines, {} messages, {} time",
               shape_.partitions, shape_.topics.size(), shape_.machines, shape_.messages,
               shape_.time_source == TimeSource::kWall ? "wall" : "event");
  for (int i = 0; i < kActionsMax && messages_left_ > 0; ++i) Act();
  for (uint64_t i = random_.Below(500); i > 0; --i) Act();
  if (messages_left_ > 0) {
    Complain("the messages were never sent: the simulation itself is stuck");
  } else if (!Heal()) {
    Complain(fmt::format("not everything is consumed after {} more rounds", kHealRoundsMax));
  } else if (complaints_.empty()) {
    Judge();
  }
  return complaints_;
}

void World::Act() {
  const uint64_t what = random_.Below(100);
  if (what < 62) return StepSome();
  if (what < 80)
    return Advance(
        Duration(random_.OneIn(60) ? random_.Between(1000, 9000) : random_.Between(1, 60)));
  if (what < 90) return Produce();
  if (what < 92) return Compact();
  Machine& machine = *machines_[random_.Below(machines_.size())];
  if (!machine.Runs()) {
    if (what < 93 && random_.OneIn(4)) return machine.LoseDisk();
    return machine.Start();
  }
  if (what == 99 && machine.IsFree() && random_.OneIn(4)) return machine.Stop();
  if (what != 98) return;
  if (shape_.time_source == TimeSource::kEvent)
    return clock_.Jump(std::chrono::hours(random_.Between(-1, 1)));
  // Wall time is what customers' silences are made of.
  Advance(std::chrono::hours(random_.Between(1, 24 * 15)));
}

void World::StepSome() {
  Machine& machine = *machines_[random_.Below(machines_.size())];
  if (machine.IsFree()) machine.Step();
}

void World::Advance(Duration d) {
  clock_.Advance(d);
  for (const auto& machine : machines_) machine->Background();
  broker_.Tick(&random_);
}

void World::Produce() {
  for (uint64_t n = 1 + random_.Below(8); n > 0 && messages_left_ > 0; --n) {
    Advance(Duration(1));  // no two at the same time
    const Message message = workload_.Next(clock_.Now());
    const TopicPartition at{shape_.topics[message.topic], message.partition};
    if (random_.OneIn(30)) ProduceUpstreamAborted(at);
    Entry entry{.value = message.payload};
    if (!message.key.empty()) entry.key = message.key;
    const int64_t offset = broker_.log(at).Append(std::move(entry));
    sent_[at] = offset + 1;
    spdlog::debug("{}[{}] {}: {}", at.topic, at.partition, offset, message.payload);
    {
      const fault::Undisturbed undisturbed;
      oracle_.Apply(message, offset, clock_.Now());
    }
    ++tally_.messages;
    --messages_left_;
  }
}

// Whoever feeds the input may use transactions too: records that never were, and control records.
void World::ProduceUpstreamAborted(const TopicPartition& at) {
  Log& log = broker_.log(at);
  const int64_t offset = log.Append(
      {.fate = Entry::Fate::kOpen,
       .value = R"({"event_id":"never","customer_id":"never","type":"login","timestamp":1})"});
  log.EndTransaction({offset}, false);
  ++tally_.upstream_aborts;
}

void World::Compact() {
  for (int32_t p = 0; p < shape_.partitions; ++p)
    broker_.log({"changelog", p}).Compact(clock_.Monotonic(), kDeleteRetention);
}

bool World::Heal() {
  spdlog::info("from here on nothing goes wrong");
  healing_ = true;
  if (shape_.time_source == TimeSource::kEvent) {
    for (int32_t p = 0; p < shape_.partitions; ++p) {
      for (size_t topic = 0; topic < shape_.topics.size(); ++topic) {
        const Message tick = workload_.LastTick(topic, p);
        const TopicPartition at{shape_.topics[topic], p};
        sent_[at] = broker_.log(at).Append({.value = tick.payload}) + 1;
      }
    }
    end_ = workload_.End();
  } else {
    end_ = AsEventTime(clock_.Now()) + std::chrono::hours(24 * 200);
  }
  for (int i = 0; i < kHealRoundsMax; ++i) {
    for (const auto& machine : machines_) {
      if (!machine->Runs()) machine->Start();
      if (machine->IsFree()) machine->Step();
    }
    Advance(Duration(20));
    if (shape_.time_source == TimeSource::kWall && AllRun() &&
        AsEventTime(clock_.Now()) < end_ + std::chrono::hours(1))
      Advance(std::chrono::hours(24));
    if (i % 16 == 0 && AllDone()) return true;
  }
  return false;
}

bool World::AllRun() const {
  return std::all_of(machines_.begin(), machines_.end(), [](const auto& machine) {
    return machine->worker() != nullptr && machine->worker()->phase() == Worker::Phase::kRunning;
  });
}

bool World::AllDone() {
  if (broker_.HasOpenTransactions()) return false;
  for (const auto& [at, next] : sent_) {
    const Broker::Stable committed = broker_.CommittedOffset(at);
    if (committed.offset.value_or(0) < next) return false;
  }
  size_t shards = 0;
  for (const auto& machine : machines_) {
    const Worker* worker = machine->worker();
    if (worker == nullptr || worker->phase() != Worker::Phase::kRunning) continue;
    for (const auto& [partition, shard] : worker->shards()) {
      // Records may wait in a producer, with a transaction that the broker does not know of yet.
      if (shard->clock() < end_ || !shard->IsSettled()) return false;
      ++shards;
    }
  }
  return shards == static_cast<size_t>(shape_.partitions);
}

void World::Complain(std::string what) {
  spdlog::error("{}", what);
  complaints_.push_back(std::move(what));
}

}  // namespace heartbeatd::sim
