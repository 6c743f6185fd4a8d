#include "metrics/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <mutex>
#include <vector>

namespace heartbeatd {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;
using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

constexpr std::array<std::string_view, 4> kClockStates = {"events", "wall", "outage", "restoring"};

const Histogram::BucketBoundaries kCommitSeconds = {0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04,
                                                    0.05,  0.075, 0.1,  0.15,  0.2,  0.3,  0.5,
                                                    1,     2,     5,    10,    30};

double Seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

struct Metrics::Impl {
  prometheus::Registry registry;

  Family<Counter>& MakeCounter(const char* name, const char* help) {
    return BuildCounter().Name(name).Help(help).Register(registry);
  }
  Family<Gauge>& MakeGauge(const char* name, const char* help) {
    return BuildGauge().Name(name).Help(help).Register(registry);
  }
  Family<Histogram>& MakeHistogram(const char* name, const char* help) {
    return BuildHistogram().Name(name).Help(help).Register(registry);
  }

  Family<Counter>& events = MakeCounter(
      "heartbeatd_events_total", "Messages taken from the input topics, by what became of them.");
  Family<Counter>& dead_letters = MakeCounter("heartbeatd_dead_letters_total",
                                              "Messages sent to the dead-letter topic, by reason.");
  Family<Counter>& alerts =
      MakeCounter("heartbeatd_alerts_total", "Alerts committed, by rule and status.");
  Family<Counter>& reasons =
      MakeCounter("heartbeatd_alert_reasons_total", "Alerts committed, by reason.");
  Family<Counter>& noted =
      MakeCounter("heartbeatd_noted_total",
                  "Things worth an operator's attention, by kind (docs/operations.md).");
  Family<Counter>& commits =
      MakeCounter("heartbeatd_commits_total", "Kafka transactions, by result.");
  Family<Histogram>& commit_family =
      MakeHistogram("heartbeatd_commit_duration_seconds",
                    "Time from the beginning to the end of a committed transaction.");
  Histogram& commit_seconds = commit_family.Add({}, kCommitSeconds);
  Family<Counter>& records_family = MakeCounter("heartbeatd_committed_records_total",
                                                "Records written in committed transactions.");
  Counter& records = records_family.Add({});
  Family<Histogram>& save_family =
      MakeHistogram("heartbeatd_save_duration_seconds",
                    "Time to write changed customers behind to the local store.");
  Histogram& save_seconds = save_family.Add({}, kCommitSeconds);
  Family<Counter>& saved_family =
      MakeCounter("heartbeatd_saved_customers_total", "Customers written to the local store.");
  Counter& saved = saved_family.Add({});
  Family<Counter>& saved_bytes_family =
      MakeCounter("heartbeatd_saved_bytes_total",
                  "Bytes of customers and their timers handed to the local store.");
  Counter& saved_bytes = saved_bytes_family.Add({});
  Family<Counter>& restored_family =
      MakeCounter("heartbeatd_restored_records_total", "Changelog records read while restoring.");
  Counter& restored = restored_family.Add({});
  Family<Counter>& rebuilds = MakeCounter(
      "heartbeatd_state_rebuilds_total",
      "Shards whose local state was thrown away and read anew from the changelog, by reason.");
  Family<Gauge>& restore_remaining =
      MakeGauge("heartbeatd_restore_remaining_records",
                "Changelog offsets that a restore still has to read, by partition.");
  Family<Gauge>& lag_messages =
      MakeGauge("heartbeatd_lag_messages", "Input messages not yet applied, by partition.");
  Family<Gauge>& lag_seconds = MakeGauge(
      "heartbeatd_lag_seconds",
      "Age of the newest applied event while the partition is not drained, else 0, by partition.");
  Family<Gauge>& clock =
      MakeGauge("heartbeatd_clock_seconds", "The shard's clock T as Unix time, by partition.");
  Family<Gauge>& clock_state = MakeGauge("heartbeatd_clock_state",
                                         "1 for what moves the shard's clock now (events, wall, "
                                         "outage: nothing, restoring: nothing), else 0.");
  Family<Gauge>& customers = MakeGauge("heartbeatd_customers", "Customers known, by partition.");

  mutable std::mutex mutex;
  std::map<int32_t, std::vector<std::pair<Family<Gauge>*, Gauge*>>> shards;  // guarded by mutex
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::AddEvents(std::string_view outcome, uint64_t n) {
  impl_->events.Add({{"outcome", std::string(outcome)}}).Increment(static_cast<double>(n));
}

void Metrics::AddDeadLetters(std::string_view reason, uint64_t n) {
  impl_->dead_letters.Add({{"reason", std::string(reason)}}).Increment(static_cast<double>(n));
}

void Metrics::AddAlerts(std::string_view rule, std::string_view status, std::string_view reason,
                        uint64_t n) {
  impl_->alerts.Add({{"rule", std::string(rule)}, {"status", std::string(status)}})
      .Increment(static_cast<double>(n));
  impl_->reasons.Add({{"reason", std::string(reason)}}).Increment(static_cast<double>(n));
}

void Metrics::AddNoted(std::string_view what, uint64_t n) {
  impl_->noted.Add({{"kind", std::string(what)}}).Increment(static_cast<double>(n));
}

void Metrics::OnCommit(std::string_view result, Duration took, uint64_t records) {
  impl_->commits.Add({{"result", std::string(result)}}).Increment();
  if (result != "committed") return;
  impl_->commit_seconds.Observe(Seconds(took));
  impl_->records.Increment(static_cast<double>(records));
}

void Metrics::OnSave(Duration took, uint64_t customers, uint64_t bytes) {
  impl_->save_seconds.Observe(Seconds(took));
  impl_->saved.Increment(static_cast<double>(customers));
  impl_->saved_bytes.Increment(static_cast<double>(bytes));
}

void Metrics::AddRestored(uint64_t records) {
  impl_->restored.Increment(static_cast<double>(records));
}

void Metrics::OnRebuild(std::string_view reason) {
  impl_->rebuilds.Add({{"reason", std::string(reason)}}).Increment();
}

void Metrics::SetShard(int32_t partition, const ShardView& view) {
  const std::lock_guard lock(impl_->mutex);
  auto& gauges = impl_->shards[partition];
  gauges.clear();
  const std::string label = std::to_string(partition);
  const auto set = [&](Family<Gauge>& family, double value) {
    Gauge& gauge = family.Add({{"partition", label}});
    gauge.Set(value);
    gauges.emplace_back(&family, &gauge);
  };
  set(impl_->lag_messages, static_cast<double>(view.lag_messages));
  set(impl_->lag_seconds, view.lag_seconds);
  set(impl_->clock, view.clock_seconds);
  set(impl_->customers, static_cast<double>(view.customers));
  set(impl_->restore_remaining, static_cast<double>(view.restore_remaining));
  for (const std::string_view state : kClockStates) {
    Gauge& gauge = impl_->clock_state.Add({{"partition", label}, {"state", std::string(state)}});
    gauge.Set(state == view.clock_state ? 1 : 0);
    gauges.emplace_back(&impl_->clock_state, &gauge);
  }
}

void Metrics::DropShard(int32_t partition) {
  const std::lock_guard lock(impl_->mutex);
  const auto it = impl_->shards.find(partition);
  if (it == impl_->shards.end()) return;
  for (const auto& [family, gauge] : it->second) family->Remove(gauge);
  impl_->shards.erase(it);
}

std::string Metrics::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->registry.Collect());
}

}  // namespace heartbeatd
