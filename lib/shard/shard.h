// A shard: everything that belongs to one partition number. Its customers, their timers, its clock
// T and its position in each input topic. This is the one place where events and time meet; run,
// backtest and tests all drive the same code.
//
// The steps of its life:
//   1. Offer() messages, OnEndOfPartition(), OnConfirmedEnd() as they come.
//   2. Step(): apply what is due, in the order of event time. Before an event at time e every timer
//      due at or before e fires, at its own due time. Once the partition is drained, wall time
//      moves T.
//   3. Take what is to be committed: outbox(), customers().Uncommitted(i), Meta().
//   4. OnProduced() once it is in a transaction; Step() may go on from here.
//   5. OnCommitted(), or, if the commit failed, throw the shard away and restore it.
//   6. Now and then BeginSave() and, beside the other steps, SaveSome(): write behind to the store.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "customer/codec.h"
#include "rules/ruleset.h"
#include "shard/customers.h"
#include "shard/evaluator.h"
#include "shard/intake.h"
#include "shard/io.h"
#include "shard/traffic.h"
#include "store/store.h"

namespace heartbeatd {

enum class TimeSource : uint8_t { kWall, kEvent };

struct ShardOptions {
  int32_t partition = 0;
  std::vector<std::string> topics;  // input topics; a message's topic is an index into them
  std::shared_ptr<const RuleSet> rules;
  EventFormat format = FlatFormat();
  TimeSource time_source = TimeSource::kWall;
  Duration delay = std::chrono::seconds(10);       // wall time moves T to "drained as of" less this
  Duration future_skew = std::chrono::minutes(5);  // later timestamps are refused
  OutagePolicy outage;
  size_t cache_bytes_max = 64u << 20;
};

// A refused message on its way to the dead-letter topic.
struct DeadLetter {
  InputRecord record;
  DeadLetterReason reason = DeadLetterReason::kNotJson;
};

// What a commit sends to the outside world, beside the changelog.
struct Outbox {
  std::vector<OutgoingAlert> alerts;
  std::vector<DeadLetter> dead_letters;
  [[nodiscard]] bool empty() const { return alerts.empty() && dead_letters.empty(); }
};

// What became of events, ever since the shard was opened; the worker exports the growth.
struct ShardCounters {
  uint64_t applied = 0;           // in time
  uint64_t late = 0;              // applied, though before T
  uint64_t beyond_retention = 0;  // late ones that changed totals only
  uint64_t duplicates = 0;
  uint64_t ticks = 0;
  uint64_t erased = 0;
  uint64_t dead_letters = 0;
  uint64_t timers_fired = 0;
  uint64_t distinct_saturated = 0;
  uint64_t mismatched_keys = 0;  // messages whose key is not the customer's id
  uint64_t merge_overflows = 0;  // filled in by ReportShard()
};

// Not thread-safe: it belongs to one worker.
class Shard {
 public:
  // `store` holds the state that `meta` belongs to, or is empty and `meta` new.
  Shard(ShardOptions options, std::unique_ptr<Store> store, ShardMeta meta);

  // Step 1.
  void Offer(size_t topic, InputRecord record, Moment now) {
    intake_.Offer(topic, std::move(record), now);
  }
  void OnEndOfPartition(size_t topic, int64_t offset) { intake_.OnEndOfPartition(topic, offset); }
  void OnConfirmedEnd(size_t topic, const ConfirmedEnd& end) { intake_.OnConfirmedEnd(topic, end); }

  // Step 2. Does at most `units_max` units of work (a message, a timer, an entry of the timer index
  // that was out of date, a customer looked at after a change of the rules); returns how many.
  // Fewer than asked: there is nothing more to do now. Error: the store cannot be read; nothing was
  // applied halfway.
  Result<size_t> Step(size_t units_max, WallTime now);

  // Moves T to `t`, firing what is due. For backtest and tests, which know that no event is
  // missing.
  Result<size_t> AdvanceTo(EventTime t, size_t units_max);

  // Step 3.
  [[nodiscard]] const Outbox& outbox() const { return outbox_; }
  [[nodiscard]] CustomerTable& customers() { return customers_; }
  [[nodiscard]] ShardMeta Meta() const;
  // Something besides T and the position has changed.
  [[nodiscard]] bool HasChanges() const {
    return !outbox_.empty() || customers_.uncommitted() > 0 || meta_dirty_;
  }
  // The position has moved since the last commit.
  [[nodiscard]] bool HasMoved() const { return moved_; }
  // Rough size of the transaction so far.
  [[nodiscard]] size_t OutboxBytes() const { return outbox_bytes_; }

  // Step 4. It is part of a transaction: what happens from here on belongs to the next one.
  void OnProduced();
  // Step 5. That transaction is committed.
  void OnCommitted();
  // Nothing is uncommitted: Save() may be called.
  [[nodiscard]] bool IsSettled() const { return !in_flight_ && !HasChanges() && !HasMoved(); }

  // Step 6. `synced`: of everything committed. See CustomerTable.
  void BeginSave(const Synced& synced, const std::string& cluster_id);
  [[nodiscard]] bool IsSaving() const { return customers_.IsSaving(); }
  Status SaveSome() { return customers_.SaveSome(); }
  // A whole pass; the shard must be settled.
  Status Save(const Synced& synced, const std::string& cluster_id);
  Status FlushStore() { return store_->Flush(); }

  // This message is not applied but dead-lettered: its transaction failed twice.
  void MarkPoison(size_t topic, int64_t offset) { poison_.emplace_back(topic, offset); }

  // The shard's record is to be committed though nothing has happened: the first time.
  void MarkNew() { meta_dirty_ = true; }

  [[nodiscard]] EventTime clock() const { return meta_.clock; }
  [[nodiscard]] const Intake& intake() const { return intake_; }
  [[nodiscard]] const ShardOptions& options() const { return options_; }
  [[nodiscard]] const ShardCounters& counters() const { return counters_; }
  [[nodiscard]] bool IsOutage(WallTime now) const { return traffic_.IsOutage(now); }
  [[nodiscard]] bool IsDrained() const { return intake_.DrainedAsOf().has_value(); }
  // Whether an event that was understood carried this property of the schema.
  [[nodiscard]] bool HasCarried(int property) const {
    return carried_[static_cast<size_t>(property)] != 0;
  }
  [[nodiscard]] Store& store() { return *store_; }
  [[nodiscard]] uint64_t customers_known() const { return meta_.customers; }
  [[nodiscard]] EventTime last_event() const { return traffic_.last_event(); }

 private:
  void PrefetchCustomers();
  Status ApplyHead(Pending* head, WallTime now);
  Status ApplyEvent(const Event& event, WallTime now, std::optional<DeadLetterReason>* refused);
  void Refuse(Pending* head, DeadLetterReason reason);
  // Fires timers due at or before `t`, at most `units_max`; moves T to the due time of each.
  Result<size_t> FireTimers(EventTime t, size_t units_max, WallTime now);
  // Looks at customers written under other rules.
  Result<size_t> Sweep(size_t units_max, WallTime now);
  [[nodiscard]] std::string LocalMetaOf(const Synced& synced, const std::string& cluster_id) const;

  ShardOptions options_;
  std::unique_ptr<Store> store_;
  ShardMeta meta_;
  ShardMeta produced_;   // as of the newest transaction
  ShardMeta committed_;  // as of the newest one that is committed
  Evaluator evaluator_;
  CustomerTable customers_;
  Intake intake_;
  Traffic traffic_;
  Outbox outbox_;
  size_t outbox_bytes_ = 0;
  bool meta_dirty_ = false;
  bool moved_ = false;
  bool in_flight_ = false;
  std::optional<std::string> sweep_after_;  // last customer looked at; absent: no sweep under way
  std::vector<std::pair<size_t, int64_t>> poison_;
  uint32_t growth_per_event_;     // of a state's encoding, at most
  std::vector<uint8_t> carried_;  // by property of the schema: 1 after the first event with it
  std::vector<std::string_view> next_customers_;  // scratch
  ShardCounters counters_;
};

}  // namespace heartbeatd
