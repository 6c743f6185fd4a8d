#include "simulation/workload.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <utility>

#include "rules/yaml.h"
#include "store/memory_store.h"

namespace heartbeatd::sim {
namespace {

constexpr int kCustomers = 6;                             // a partition
constexpr Duration kRemembered = std::chrono::hours(24);  // by the rules' dedupe, at least
constexpr EventTime kBegin{1'767'225'600'000};            // 2026-01-01

constexpr const char* kRules = R"(
dedupe: {ids: 8, within: 48h}
measures:
  purchases: {type: purchase, sum: amount, population_gap: 20d}
  logins: {type: login, population_gap: 5d}
lifecycle: {measure: logins}
rules:
  - {id: dropping, detector: dropping, measure: logins, window: 7d, baseline: {periods: 3}, ratio: 0.5,
     minimum: {baseline_count: 3, observed_for: 14d}, cooldown: 5d}
  - {id: money, detector: dropping, measure: purchases, value: sum, window: 14d, baseline: {periods: 2}, ratio: 0.4,
     minimum: {baseline_count: 2}, hold: 2d, resolve: {hold: 1d}}
  - {id: silent, detector: silence, measure: logins, false_alerts: 0.05, minimum: {days: 2}}
  - {id: life-cycle, detector: transition, of: activity}
)";

[[noreturn]] void Die(const std::string& why) {
  fmt::print(stderr, "simulation: {}\n", why);
  std::abort();
}

}  // namespace

std::shared_ptr<const RuleSet> Rules() {
  static const std::shared_ptr<const RuleSet> kCompiled = [] {
    const Result<Node> node = LoadYamlText(kRules, "rules.yaml");
    if (!node) Die(node.error().message);
    Findings findings;
    std::shared_ptr<const RuleSet> compiled = Compile(*node, findings);
    if (!findings.ok()) Die(findings.errors().front());
    return compiled;
  }();
  return kCompiled;
}

// ---- Workload ----------------------------------------------------------------------------------

Workload::Workload(WorkloadOptions options, Random* random)
    : options_(options), random_(random), poisonous_(random->OneIn(4)) {
  for (int32_t p = 0; p < options_.partitions; ++p) partitions_.emplace_back().now = kBegin;
}

Message Workload::Next(WallTime now) {
  const auto partition =
      static_cast<int32_t>(random_->Below(static_cast<uint64_t>(options_.partitions)));
  const size_t topic = random_->Below(options_.topics);
  Partition& part = partitions_[static_cast<size_t>(partition)];
  if (random_->OneIn(40))
    return {topic, partition, "", random_->OneIn(2) ? "garbage" : R"({"type":"login"})"};
  if (random_->OneIn(15) && !part.sent.empty()) {
    if (MayBeLate()) return part.sent[random_->Below(part.sent.size())];
    // Only one that changes nothing wherever it comes: the newest, while its id is remembered.
    if (options_.time_source == TimeSource::kEvent || AsEventTime(now) - part.now < kRemembered)
      return part.sent.back();
  }
  return Event(partition, topic, now);
}

Message Workload::Event(int32_t partition, size_t topic, WallTime now) {
  Partition& part = partitions_[static_cast<size_t>(partition)];
  if (options_.time_source == TimeSource::kWall) {
    part.now = AsEventTime(now);
  } else {
    const int64_t hours =
        random_->OneIn(8) ? random_->Between(24, 24 * 12) : random_->Between(0, 12);
    part.now = part.now + Duration(hours * 3'600'000 + random_->Between(1, 60'000));
  }
  EventTime at = part.now;
  if (MayBeLate() && random_->OneIn(20)) at = at - Duration(random_->Between(1, 20 * kMsPerDay));
  if (poisonous_ && random_->OneIn(80)) {
    const std::string id = fmt::format("poison{}", ++ids_);
    return {topic, partition, id,
            fmt::format(R"({{"event_id":"{}","customer_id":"{}","type":"login","timestamp":{}}})",
                        id, id, at.ms()),
            true};
  }
  const std::string customer = fmt::format("p{}c{}", partition, random_->Below(kCustomers));
  std::string type = "login";
  std::string more;
  if (random_->OneIn(3)) {
    type = random_->OneIn(8) ? "refund" : "purchase";
    more = fmt::format(R"(,"amount":{})", random_->Between(1, 100));
  } else if (random_->OneIn(50)) {
    type = "erase";
  }
  const std::string payload =
      fmt::format(R"({{"event_id":"e{}","customer_id":"{}","type":"{}","timestamp":{}{}}})", ++ids_,
                  customer, type, at.ms(), more);
  part.sent.push_back({topic, partition, customer, payload});
  return part.sent.back();
}

Message Workload::LastTick(size_t topic, int32_t partition) const {
  return {topic, partition, "", fmt::format(R"({{"type":"tick","timestamp":{}}})", End().ms())};
}

EventTime Workload::End() const {
  EventTime end = kBegin;
  for (const Partition& part : partitions_) end = std::max(end, part.now);
  return end + std::chrono::hours(24 * 200);
}

// ---- Oracle ------------------------------------------------------------------------------------

struct Oracle::Part {
  std::deque<Message> messages;  // what the shard's records refer to
  std::unique_ptr<Shard> shard;
};

Oracle::Oracle(int32_t partitions) {
  for (int32_t p = 0; p < partitions; ++p) {
    auto part = std::make_unique<Part>();
    // One input of everything: what arrives is already in the order in which it is to be applied.
    part->shard = std::make_unique<Shard>(
        ShardOptions{
            .partition = p, .topics = {"all"}, .rules = Rules(), .time_source = TimeSource::kEvent},
        MakeMemoryStore(), ShardMeta{});
    parts_.push_back(std::move(part));
  }
}

Oracle::~Oracle() = default;

void Oracle::Apply(const Message& message, int64_t offset, WallTime now) {
  Part& part = *parts_[static_cast<size_t>(message.partition)];
  const auto place = static_cast<int64_t>(part.messages.size());
  if (message.poison) part.shard->MarkPoison(0, place);
  part.messages.push_back(message);
  InputRecord record{.topic = "all",
                     .partition = message.partition,
                     .offset = place,
                     .payload = part.messages.back().payload};
  if (!message.key.empty()) record.key = part.messages.back().key;
  part.shard->Offer(0, std::move(record), {.wall = now});
  while (*part.shard->Step(1000, now) == 1000) {
  }
  for (const DeadLetter& dead : part.shard->outbox().dead_letters)
    ++outcome_.dead_letters[{std::string(NameOf(dead.reason)), message.partition, offset}];
  Take(&part);
}

void Oracle::Take(Part* part) {
  for (const OutgoingAlert& alert : part->shard->outbox().alerts)
    ++outcome_.alerts[WithoutLateBy(alert.payload)];
  auto& states = outcome_.states[part->shard->options().partition];
  for (size_t i = 0; const auto change = part->shard->customers().Uncommitted(i); ++i) {
    if (change->value) {
      states[std::string(change->id)] = *change->value;
    } else {
      states.erase(std::string(change->id));
    }
  }
  part->shard->OnProduced();
  part->shard->OnCommitted();
}

Outcome Oracle::Finish(EventTime end) {
  for (const auto& part : parts_) {
    while (*part->shard->AdvanceTo(end, 1000) == 1000) Take(part.get());
    Take(part.get());
  }
  return std::move(outcome_);
}

}  // namespace heartbeatd::sim
