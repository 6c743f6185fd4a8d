#include "shard/shard.h"

#include <algorithm>
#include <utility>

#include "base/fault.h"

namespace heartbeatd {
namespace {

std::vector<int64_t> NextOffsets(const ShardOptions& options, const ShardMeta& meta) {
  std::vector<int64_t> next;
  for (const std::string& topic : options.topics) {
    const auto it = meta.next.find(topic);
    next.push_back(it != meta.next.end() ? it->second : 0);
  }
  return next;
}

// An event adds no more than this to the encoding of one measure, id and rule states apart; but it
// may also be the one that all buckets of a measure are written longer for (WriteBuckets() in
// customer/codec.cc): a single byte becomes four, two become six.
constexpr size_t kGrowthPerMeasure = 32;
constexpr size_t kGrowthPerEvent = 64;
constexpr size_t kGrowthFactor = 5;

}  // namespace

Shard::Shard(ShardOptions options, std::unique_ptr<Store> store, ShardMeta meta)
    : options_(std::move(options)),
      store_(std::move(store)),
      meta_(std::move(meta)),
      committed_(meta_),
      evaluator_(*options_.rules),
      customers_(*options_.rules, evaluator_.NewState(), *store_, options_.cache_bytes_max),
      intake_(options_.rules->schema, options_.rules->currency, NextOffsets(options_, meta_),
              options_.format),
      traffic_(options_.outage, meta_.activity_ms, meta_.events, meta_.last_event),
      growth_per_event_(static_cast<uint32_t>(kGrowthPerEvent +
                                              kGrowthPerMeasure * options_.rules->measures.size())),
      carried_(options_.rules->schema.properties().size(), 0) {
  const bool nobody_known = meta_.clock == EventTime::Min();
  if (meta_.rules_hash == options_.rules->hash || nobody_known) {
    meta_.rules_hash = options_.rules->hash;
    // Also where the record is of a version that did not say.
    meta_.activity_as_of_touch = !options_.rules->lifecycle.watched;
  } else {
    sweep_after_.emplace();
    // Whoever goes on from the midst of it begins anew, even with the rules of before.
    meta_.rules_hash = kRulesUnsettled;
  }
}

Result<size_t> Shard::Step(size_t units_max, WallTime now) {
  size_t done = 0;
  if (sweep_after_) {
    Result<size_t> swept = Sweep(units_max, now);
    if (!swept || sweep_after_) return swept;
    done = *swept;
  }
  for (size_t messages = 0; done < units_max; ++messages) {
    Pending* head = intake_.Head();
    if (head == nullptr) break;
    if (messages % CustomerTable::kFetchedMax == 0) PrefetchCustomers();
    if (!head->refused && AsEventTime(now) + options_.future_skew < head->event.time) {
      head->refused = DeadLetterReason::kFutureTimestamp;
    }
    if (!head->refused) {
      // Timers at T may be left over from a commit that was cut among equal due times.
      const Result<size_t> fired =
          FireTimers(std::max(head->event.time, meta_.clock), units_max - done, now);
      if (!fired) return fired;
      done += *fired;
      if (done >= units_max) return done;
    }
    if (Status applied = ApplyHead(head, now); !applied)
      return std::unexpected(std::move(applied.error()));
    ++done;
  }
  if (done >= units_max || options_.time_source != TimeSource::kWall) return done;
  std::optional<WallTime> drained_as_of = intake_.DrainedAsOf();
  if (HB_MUTANT("clock-during-backlog")) drained_as_of = now;
  if (!drained_as_of) return done;
  const EventTime target =
      std::min(AsEventTime(*drained_as_of) - options_.delay, traffic_.OnDrained(*drained_as_of));
  if (target <= meta_.clock) return done;
  Result<size_t> fired = FireTimers(target, units_max - done, now);
  if (!fired) return fired;
  done += *fired;
  if (done < units_max) meta_.clock = target;
  return done;
}

void Shard::PrefetchCustomers() {
  next_customers_.clear();
  intake_.NextCustomers(CustomerTable::kFetchedMax, &next_customers_);
  customers_.Prefetch(next_customers_);
}

Result<size_t> Shard::AdvanceTo(EventTime t, size_t units_max) {
  Result<size_t> fired = FireTimers(std::max(t, meta_.clock), units_max, WallTime(t.ms()));
  if (fired && *fired < units_max) meta_.clock = std::max(meta_.clock, t);
  return fired;
}

Status Shard::ApplyHead(Pending* head, WallTime now) {
  const std::pair<size_t, int64_t> at{head->topic, head->record.offset};
  if (std::find(poison_.begin(), poison_.end(), at) != poison_.end())
    head->refused = DeadLetterReason::kPoison;
  std::optional<DeadLetterReason> refused = head->refused;
  if (!refused) {
    const Event& event = head->event;
    meta_.clock = std::max(meta_.clock, event.time);
    for (const Property& property : event.properties)
      carried_[static_cast<size_t>(property.id)] = 1;
    if (event.builtin == BuiltinType::kTick) {
      ++counters_.ticks;
    } else {
      if (head->record.key && *head->record.key != event.customer_id) ++counters_.mismatched_keys;
      if (Status applied = ApplyEvent(event, now, &refused); !applied) return applied;
    }
  }
  if (refused) Refuse(head, *refused);
  intake_.Pop();
  moved_ = true;
  return {};
}

Status Shard::ApplyEvent(const Event& event, WallTime now,
                         std::optional<DeadLetterReason>* refused) {
  Result<Customer*> found = customers_.Find(event.customer_id);
  if (!found) return std::unexpected(std::move(found.error()));
  Customer* customer = *found;
  if (event.builtin == BuiltinType::kErase) {
    if (customer->exists) {
      customers_.Erase(customer);
      --meta_.customers;
    }
    ++counters_.erased;
    return {};
  }
  // The copy is made only where the bound is near: hardly ever.
  std::optional<CustomerState> before;
  customer->encoded_bytes += growth_per_event_;
  if (customer->encoded_bytes > kStateBytesMax / kGrowthFactor) before = *customer->state;
  const size_t alerts_before = outbox_.alerts.size();
  const EventTime noticed =
      options_.time_source == TimeSource::kWall ? AsEventTime(now) : meta_.clock;
  const EventEffect effect = evaluator_.OnEvent(customer->id, event, meta_.clock, noticed,
                                                customer->state, &outbox_.alerts);
  if (effect.duplicate) {
    ++counters_.duplicates;
    return {};
  }
  if (before && customers_.EncodedBytes(*customer) > kStateBytesMax) {
    *customer->state = std::move(*before);
    outbox_.alerts.erase(outbox_.alerts.begin() + static_cast<std::ptrdiff_t>(alerts_before),
                         outbox_.alerts.end());
    *refused = DeadLetterReason::kStateTooLarge;
    return {};
  }
  for (size_t i = alerts_before; i < outbox_.alerts.size(); ++i)
    outbox_bytes_ += outbox_.alerts[i].payload.size();
  if (!customer->exists) ++meta_.customers;
  customers_.MarkChanged(customer);
  traffic_.OnEvent(event.time, now);
  ++(effect.late ? counters_.late : counters_.applied);
  if (effect.beyond_retention) ++counters_.beyond_retention;
  if (effect.distinct_saturated) ++counters_.distinct_saturated;
  return {};
}

void Shard::Refuse(Pending* head, DeadLetterReason reason) {
  ++counters_.dead_letters;
  outbox_bytes_ += head->record.payload.value_or("").size();
  outbox_.dead_letters.push_back({std::move(head->record), reason});
  head->record.offset = outbox_.dead_letters.back().record.offset;  // Pop() needs it
}

Result<size_t> Shard::FireTimers(EventTime t, size_t units_max, WallTime now) {
  size_t fired = 0;
  while (fired < units_max) {
    EventTime due;
    size_t mended = 0;
    Result<Customer*> found = customers_.NextDue(t, units_max - fired, &due, &mended);
    if (!found) return std::unexpected(std::move(found.error()));
    fired += mended;
    Customer* customer = *found;
    if (customer == nullptr) break;
    meta_.clock = std::max(meta_.clock, due);
    const size_t alerts_before = outbox_.alerts.size();
    const EventTime noticed =
        options_.time_source == TimeSource::kWall ? AsEventTime(now) : meta_.clock;
    evaluator_.OnTimer(customer->id, meta_.clock, noticed, customer->state, &outbox_.alerts);
    for (size_t i = alerts_before; i < outbox_.alerts.size(); ++i)
      outbox_bytes_ += outbox_.alerts[i].payload.size();
    customers_.MarkChanged(customer);
    ++counters_.timers_fired;
    ++fired;
  }
  return fired;
}

Result<size_t> Shard::Sweep(size_t units_max, WallTime now) {
  Result<std::vector<std::pair<std::string, std::string>>> chunk =
      store_->Customers(*sweep_after_, units_max);
  if (!chunk) return std::unexpected(std::move(chunk.error()));
  const EventTime noticed =
      options_.time_source == TimeSource::kWall ? AsEventTime(now) : meta_.clock;
  for (const auto& [id, value] : *chunk) {
    Result<Customer*> found = customers_.Find(id);
    if (!found) return std::unexpected(std::move(found.error()));
    if (!(*found)->exists) continue;
    evaluator_.OnRulesChanged((*found)->id, meta_.clock, noticed, (*found)->state, &outbox_.alerts,
                              meta_.activity_as_of_touch);
    customers_.MarkChanged(*found);
    sweep_after_ = id;
  }
  if (chunk->size() < units_max) {
    sweep_after_.reset();
    meta_.rules_hash = options_.rules->hash;
    meta_.activity_as_of_touch = !options_.rules->lifecycle.watched;
    meta_dirty_ = true;
  }
  return chunk->size();
}

ShardMeta Shard::Meta() const {
  ShardMeta meta = meta_;
  for (size_t i = 0; i < options_.topics.size(); ++i)
    meta.next[options_.topics[i]] = intake_.next(i);
  meta.activity_ms = traffic_.marks_ms();
  meta.events = traffic_.events();
  meta.last_event = traffic_.last_event();
  return meta;
}

void Shard::OnProduced() {
  produced_ = Meta();
  customers_.OnProduced();
  outbox_.alerts.clear();
  outbox_.dead_letters.clear();
  outbox_bytes_ = 0;
  meta_dirty_ = false;
  moved_ = false;
  in_flight_ = true;
}

void Shard::OnCommitted() {
  in_flight_ = false;
  committed_ = std::move(produced_);
  customers_.OnCommitted();
}

std::string Shard::LocalMetaOf(const Synced& synced, const std::string& cluster_id) const {
  return EncodeLocalMeta({.meta = committed_, .synced = synced, .cluster_id = cluster_id});
}

void Shard::BeginSave(const Synced& synced, const std::string& cluster_id) {
  customers_.BeginSave(LocalMetaOf(synced, cluster_id));
}

Status Shard::Save(const Synced& synced, const std::string& cluster_id) {
  return customers_.Save(LocalMetaOf(synced, cluster_id));
}

}  // namespace heartbeatd
