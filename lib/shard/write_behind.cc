#include "shard/write_behind.h"

#include <algorithm>
#include <utility>

#include "base/fault.h"

namespace heartbeatd {
namespace {

// A shard of which nothing has changed still gets a newer record so often.
constexpr Duration kSaveAtLeastEvery = std::chrono::hours(1);
// Passes may take this part of a worker's time, and with twice unsaved_max customers waiting for
// one the larger part.
constexpr int kShare = 20;
constexpr int kShareBehind = 8;
// A pass that has written so much is made to survive a killed process at once, instead of when it
// is next time for it: whoever starts then has less to read again.
constexpr uint64_t kFlushBytesMin = 4u << 20;

}  // namespace

WriteBehind::WriteBehind(WriteBehindOptions options, std::string cluster_id, const Clock& clock,
                         Metrics& metrics)
    : options_(options),
      cluster_id_(std::move(cluster_id)),
      clock_(clock),
      metrics_(metrics),
      flush_at_(clock.Monotonic() + options.store_flush_interval) {}

void WriteBehind::Add(Shard* shard, const Synced& synced) {
  entries_[shard->options().partition] = {
      .shard = shard, .synced = synced, .saved_at = clock_.Monotonic()};
}

void WriteBehind::OnCommitted(int32_t partition, const Synced& synced) {
  entries_.at(partition).synced = synced;
}

void WriteBehind::Clear() {
  pass_.reset();
  crowded_.clear();
  entries_.clear();
}

WriteBehind::Round WriteBehind::Step(Pace pace) {
  const Duration now = clock_.Monotonic();
  crowded_.clear();
  for (const auto& [partition, entry] : entries_) {
    if (!entry.shard->customers().Trim()) crowded_.push_back(entry.shard);
  }
  Round round;
  if (!pass_) {
    if (Entry* const due = Due(now, pace)) pass_ = Begin(due);
  }
  if (pass_) {
    const int32_t partition = pass_->entry->shard->options().partition;
    if (Status saved = SaveSome(now, pace, &round.pass_ended); !saved) {
      round.failure = {partition, std::move(saved.error())};
      return round;
    }
  }
  if (now >= flush_at_) {
    for (const auto& [partition, entry] : entries_) {
      if (Status flushed = Flush(entry.shard); !flushed) {
        round.failure = {partition, std::move(flushed.error())};
        return round;
      }
    }
    flush_at_ = now + options_.store_flush_interval;  // not before: what fails is tried again
  }
  return round;
}

WriteBehind::Entry* WriteBehind::Due(Duration now, Pace pace) {
  if (pace == Pace::kHold) return nullptr;
  Entry* fullest = nullptr;
  for (auto& [partition, entry] : entries_) {
    if (IsCrowded(entry.shard)) return &entry;
    if (fullest == nullptr ||
        fullest->shard->customers().unsaved() < entry.shard->customers().unsaved())
      fullest = &entry;
  }
  if (pace == Pace::kHurry) return fullest;
  Entry* oldest = nullptr;
  Duration oldest_age{};
  for (auto& [partition, entry] : entries_) {
    const Duration age = now - entry.saved_at;
    const bool due =
        age >= (entry.shard->customers().unsaved() > 0 ? options_.interval : kSaveAtLeastEvery);
    if (!due || (oldest != nullptr && age <= oldest_age)) continue;
    oldest = &entry;
    oldest_age = age;
  }
  const bool overdue = oldest != nullptr && oldest_age >= options_.interval_max;
  return Unsaved() >= options_.unsaved_max && !overdue ? fullest : oldest;
}

WriteBehind::Pass WriteBehind::Begin(Entry* entry) {
  const CustomerTable& customers = entry->shard->customers();
  const Pass pass{
      .entry = entry, .customers = customers.unsaved(), .bytes_before = customers.saved_bytes()};
  entry->shard->BeginSave(entry->synced, cluster_id_);
  return pass;
}

uint64_t WriteBehind::End(const Pass& pass, Duration now) {
  pass.entry->saved_at = now;
  const uint64_t bytes = pass.entry->shard->customers().saved_bytes() - pass.bytes_before;
  metrics_.OnSave(pass.took, pass.customers, bytes);
  return bytes;
}

Status WriteBehind::SaveSome(Duration now, Pace pace, bool* ended) {
  const bool hurry = pace == Pace::kHurry || !crowded_.empty() ||
                     now - pass_->entry->saved_at > options_.interval_max;
  if (!hurry && now < on_at_) return {};
  Shard* const shard = pass_->entry->shard;
  if (Status saved = shard->SaveSome(); !saved) return saved;
  HB_FAULT_POINT("store.saved");
  const Duration end = clock_.Monotonic();
  const int share = Unsaved() < 2 * options_.unsaved_max ? kShare : kShareBehind;
  pass_->took += end - now;
  on_at_ = end + (end - now) * (share - 1);
  if (shard->IsSaving()) return {};
  *ended = true;
  const uint64_t bytes = End(*std::exchange(pass_, std::nullopt), end);
  if (bytes < kFlushBytesMin) return {};
  Status flushed = Flush(shard);
  if (!flushed) flush_at_ = end;
  return flushed;
}

size_t WriteBehind::Unsaved() const {
  size_t customers = 0;
  for (const auto& [partition, entry] : entries_) customers += entry.shard->customers().unsaved();
  return customers;
}

bool WriteBehind::IsCrowded(const Shard* shard) const {
  return std::ranges::find(crowded_, shard) != crowded_.end();
}

Status WriteBehind::SaveAll(Shard* shard, Duration until) {
  Entry& entry = entries_.at(shard->options().partition);
  if (pass_ && pass_->entry == &entry) pass_.reset();  // it becomes part of this one
  const Duration began = clock_.Monotonic();
  Pass pass = Begin(&entry);
  while (shard->IsSaving()) {
    if (clock_.Monotonic() >= until) return {};
    if (Status saved = shard->SaveSome(); !saved) return saved;
  }
  const Duration end = clock_.Monotonic();
  pass.took = end - began;
  End(pass, end);
  return {};
}

Status WriteBehind::Flush(Shard* shard) {
  if (HB_FAULT_ERROR("store.flush"))
    return Fail("local state: flushing: I/O error", ExitCode::kTemporary);
  Status flushed = shard->FlushStore();
  HB_FAULT_POINT("store.flushed");
  return flushed;
}

}  // namespace heartbeatd
