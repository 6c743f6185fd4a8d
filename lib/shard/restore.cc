#include "shard/restore.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/fault.h"
#include "base/id.h"
#include "shard/customers.h"
#include "shard/fetch.h"

namespace heartbeatd {
namespace {

constexpr Duration kAskTimeout = std::chrono::seconds(1);
constexpr Duration kLogEvery = std::chrono::seconds(2);
constexpr size_t kIngestMin = 5'000;  // customers from which on a sorted file is the quicker way
// What a customer takes in the buffer beside the id and the state: the table's place for both, as
// sparse as it may be, and those in the lists that are made of it when it is stored.
constexpr size_t kPerBuffered = 256;

using Buffered = std::pair<const std::string, std::optional<std::string>>;

}  // namespace

Restore::Restore(RestoreOptions options, const Clock& clock, Metrics& metrics, EventSource& input,
                 EventSource& changelog, const StoreOpener& open_store,
                 const std::vector<int32_t>& partitions, std::set<int32_t>& given_up)
    : options_(std::move(options)),
      clock_(clock),
      metrics_(metrics),
      input_(input),
      changelog_(changelog),
      open_store_(open_store),
      given_up_(given_up),
      began_(clock.Monotonic()),
      logged_(began_) {
  for (const int32_t partition : partitions) parts_.emplace_back().out.partition = partition;
}

Restore::~Restore() {
  if (reading_) (void)changelog_.Stop();
}

Result<bool> Restore::Step(Duration budget) {
  if (!reading_) {
    const Result<bool> answered = Ask();
    if (!answered || !*answered) return answered;
    if (Status opened = OpenLocal(); !opened) return std::unexpected(std::move(opened.error()));
    if (Status started = StartReading(); !started)
      return std::unexpected(std::move(started.error()));
    if (start_over_) return StartOver();
  }
  const Duration until = clock_.Monotonic() + budget;
  uint64_t read = 0;
  const auto all_done = [&] {
    return std::all_of(parts_.begin(), parts_.end(), [](const Part& p) { return p.done; });
  };
  while (!all_done()) {
    Polled polled = changelog_.Poll(std::chrono::milliseconds(10));
    if (polled.kind == Polled::Kind::kRecord) {
      ++read;
      if (Status stored = OnRecord(polled.record); !stored)
        return std::unexpected(std::move(stored.error()));
    } else if (polled.kind == Polled::Kind::kEndOfPartition) {
      Part* part = Find(polled.at.at.partition);
      if (part != nullptr) part->next = std::max(part->next, polled.at.offset);
      const bool reached =
          part != nullptr && (part->next >= part->end || HB_MUTANT("restore-to-stable-end"));
      if (reached && !part->done) {
        if (Status finished = Finish(part); !finished)
          return std::unexpected(std::move(finished.error()));
      }
    } else if (polled.kind == Polled::Kind::kFailed ||
               polled.kind == Polled::Kind::kOffsetOutOfRange) {
      spdlog::warn("restore: {}; starting over", polled.error.message);
      if (Status reopened = changelog_.Reopen(); !reopened)
        return std::unexpected(std::move(reopened.error()));
      start_over_ = true;
    }
    if (start_over_) break;
    if (clock_.Monotonic() >= until) break;
  }
  records_ += read;
  metrics_.AddRestored(read);
  if (start_over_) return StartOver();
  const Duration now = clock_.Monotonic();
  if (reading_ && !all_done() && now - logged_ >= kLogEvery) {
    logged_ = now;
    uint64_t remaining = 0;
    for (const auto& [partition, n] : Remaining()) remaining += n;
    spdlog::info("restoring {} shards: {} records read, about {} to go", parts_.size(), records_,
                 remaining);
  }
  if (!reading_ || !all_done()) return false;
  (void)changelog_.Stop();
  reading_ = false;
  spdlog::info("restored {} shards, {} changelog records, in {} ms", parts_.size(), records_,
               (now - began_).count());
  return true;
}

bool Restore::StartOver() {
  start_over_ = false;
  if (reading_) (void)changelog_.Stop();
  reading_ = false;
  for (Part& part : parts_) {
    const int32_t partition = part.out.partition;
    part = Part{};
    part.out.partition = partition;
  }
  buffered_bytes_ = 0;
  return false;
}

Result<bool> Restore::Ask() {
  std::vector<TopicPartition> inputs;
  std::vector<TopicPartition> logs;
  for (const Part& part : parts_) {
    for (const std::string& topic : options_.topics) inputs.push_back({topic, part.out.partition});
    logs.push_back({options_.changelog, part.out.partition});
  }
  const auto retry = [&](const Error& error) -> Result<bool> {
    if (error.code == ExitCode::kBroken || error.code == ExitCode::kConfig)
      return std::unexpected(error);
    if (clock_.Monotonic() - logged_ >= kLogEvery) {
      logged_ = clock_.Monotonic();
      spdlog::warn("restore: {}; trying again", error.message);
    }
    return false;
  };
  asked_ = clock_.Read();
  // In this order: the group's stable offset first, so that the changelog's end covers what it
  // covers.
  const auto committed = input_.CommittedOffsets(inputs, kAskTimeout);
  if (!committed) return retry(committed.error());
  const auto ranges = input_.Offsets(inputs, kAskTimeout);
  if (!ranges) return retry(ranges.error());
  const auto ends = changelog_.Offsets(logs, kAskTimeout);
  if (!ends) return retry(ends.error());
  const size_t topics = options_.topics.size();
  for (size_t p = 0; p < parts_.size(); ++p) {
    parts_[p].committed.assign(committed->begin() + static_cast<std::ptrdiff_t>(p * topics),
                               committed->begin() + static_cast<std::ptrdiff_t>((p + 1) * topics));
    parts_[p].input.assign(ranges->begin() + static_cast<std::ptrdiff_t>(p * topics),
                           ranges->begin() + static_cast<std::ptrdiff_t>((p + 1) * topics));
    parts_[p].begin = (*ends)[p].begin;
    parts_[p].end = (*ends)[p].end;
  }
  return true;
}

Status Restore::OpenLocal() {
  Status damaged;
  for (Part& part : parts_) {
    Result<std::unique_ptr<Store>> store = open_store_(part.out.partition);
    if (!store) return std::unexpected(std::move(store.error()));
    part.out.store = std::move(*store);
    const Result<std::optional<std::string>> bytes = part.out.store->LocalMeta();
    // Whatever keeps it from being read: the changelog has it all.
    if (!bytes && !given_up_.contains(part.out.partition))
      damaged = Fail(bytes.error().message, ExitCode::kBroken);
  }
  // Before anything is rebuilt, which would be done again by the next one.
  if (!damaged) return damaged;
  for (Part& part : parts_) {
    if (Status begun = BeginLocal(&part); !begun) return begun;
  }
  return {};
}

Status Restore::BeginLocal(Part* part) {
  if (given_up_.contains(part->out.partition)) {
    Status rebuilt = Rebuild(part, "damaged", "it is damaged");
    if (rebuilt) given_up_.erase(part->out.partition);
    return rebuilt;
  }
  const Result<std::optional<std::string>> bytes = part->out.store->LocalMeta();
  if (!bytes) return std::unexpected(bytes.error());
  if (!*bytes) return Rebuild(part, "missing", "");
  const Result<LocalMeta> local = DecodeLocalMeta(**bytes);
  if (!local) return std::unexpected(local.error());
  if (local->cluster_id != options_.cluster_id)
    return Rebuild(part, "other_cluster", "it belongs to another Kafka cluster");
  if (local->synced.position < part->begin || local->synced.position > part->end)
    return Rebuild(part, "outside_changelog", "its position is outside the changelog");
  const Duration age = clock_.Now() - local->synced.at;
  if (age > options_.delete_retention / 2)
    return Rebuild(part, "too_old", "it is so old that erased customers might come back");
  if (age < -options_.delete_retention / 2) {
    return Rebuild(part, "too_old",
                   "the clock was set back, so nobody knows how old it is, and erased customers "
                   "might come back");
  }
  part->out.meta = local->meta;
  part->changelog_id = local->meta.changelog_id;
  // The record before the position is the one that says which log this is.
  part->next = std::max(part->begin, local->synced.position - 1);
  part->out.synced = local->synced;
  part->rebuilding = local->rebuilding;
  return {};
}

Status Restore::Rebuild(Part* part, std::string_view reason, const std::string& why) {
  if (part->end > part->begin) metrics_.OnRebuild(reason);
  if (!why.empty())
    spdlog::warn("local state of partition {} is rebuilt from the changelog: {}",
                 part->out.partition, why);
  if (Status wiped = part->out.store->Wipe(); !wiped) return wiped;
  part->rebuilding = true;
  part->changelog_id.reset();
  part->last_meta.reset();
  ClearBuffer(part);
  part->out.meta = ShardMeta{};
  part->next = part->begin;
  part->out.synced = {part->begin, asked_.wall};
  return {};
}

Status Restore::StartReading() {
  std::vector<Position> positions;
  for (Part& part : parts_) {
    if (part.done) continue;
    if (part.next >= part.end) {
      if (Status finished = Finish(&part); !finished) return finished;
    }
    if (!part.done) positions.push_back({{options_.changelog, part.out.partition}, part.next});
  }
  reading_ = true;
  return changelog_.Start(positions);
}

Status Restore::OnRecord(const InputRecord& record) {
  Part* part = Find(record.partition);
  if (part == nullptr || part->done || record.offset < part->next) return {};
  part->next = record.offset + 1;
  HB_FAULT_POINT("restore.read");
  if (record.key && *record.key == kChangelogMetaKey && record.payload) {
    Result<ShardMeta> meta = DecodeMeta(*record.payload);
    if (!meta)
      return std::unexpected(
          std::move(meta.error())
              .Context(fmt::format("changelog of partition {}", record.partition)));
    if (part->changelog_id && !part->changelog_id->empty() &&
        meta->changelog_id != *part->changelog_id) {
      if (Status rebuilt = Rebuild(part, "other_changelog", "it belongs to another changelog");
          !rebuilt)
        return rebuilt;
      return StartReading();
    }
    part->out.meta = std::move(*meta);
    part->last_meta = record.offset;
  } else if (const std::optional<std::string_view> customer =
                 record.key ? CustomerOf(*record.key) : std::nullopt) {
    Keep(part, *customer, record.payload);
  }
  if (buffered_bytes_ > options_.buffer_bytes_max) {
    Part& largest = *std::max_element(
        parts_.begin(), parts_.end(),
        [](const Part& a, const Part& b) { return a.buffer_bytes < b.buffer_bytes; });
    largest.out.synced.position = largest.next;  // and not up to date before the end is reached
    if (Status spilled = Spill(&largest); !spilled) return spilled;
  }
  return part->next >= part->end ? Finish(part) : Status();
}

void Restore::Keep(Part* part, std::string_view customer, std::optional<std::string_view> state) {
  const auto [it, is_new] = part->buffer.try_emplace(customer);
  std::optional<std::string>& value = it->second;
  const auto bytes = [&value] { return value ? value->size() : 0; };
  const size_t before = bytes();
  if (state) {
    if (!value) value.emplace();
    CustomerTable::AssignStored(EventTime::Never(), *state, &*value);
  } else {
    value.reset();
  }
  const size_t more = (is_new ? kPerBuffered + customer.size() : 0) + bytes() - before;
  part->buffer_bytes += more;
  buffered_bytes_ += more;
}

void Restore::ClearBuffer(Part* part) {
  part->buffer.clear();
  buffered_bytes_ -= std::exchange(part->buffer_bytes, 0);
}

// Stores what was read so far; of a rebuild the states alone, whose deadlines are indexed at its
// end. Otherwise deadlines that a state no longer has stay in the index: whoever meets one there
// sees that it is out of date.
Status Restore::Spill(Part* part) {
  StoreBatch batch;
  std::vector<Buffered*> sorted;
  sorted.reserve(part->buffer.size());
  for (Buffer::value_type& one : part->buffer) sorted.push_back(&one);
  SortById(&sorted, &Buffered::first);
  batch.states.reserve(sorted.size());
  const auto state_of = [](const Buffered& one) -> std::string_view {
    return one.second ? std::string_view(*one.second) : std::string_view();
  };
  for (size_t i = 0; i < sorted.size(); ++i) {
    auto& [customer, value] = *FetchAhead(sorted, i, state_of);
    if (!value) {
      batch.states.push_back({customer, std::nullopt});
      continue;
    }
    const Result<EventTime> due = CustomerCodec::DueOf(CustomerTable::ParseStored(*value)->encoded);
    if (!due) return std::unexpected(due.error());
    CustomerTable::PutIndexed(*due, &*value);
    batch.states.push_back({customer, *value});
    if (!part->rebuilding && *due != EventTime::Never())
      batch.timers_added.push_back({*due, customer});
  }
  const std::string local_meta = EncodeLocalMeta({.meta = part->out.meta,
                                                  .synced = part->out.synced,
                                                  .cluster_id = options_.cluster_id,
                                                  .rebuilding = part->rebuilding});
  batch.local_meta = local_meta;
  std::sort(batch.timers_added.begin(), batch.timers_added.end());
  Status written = part->rebuilding || batch.states.size() >= kIngestMin
                       ? part->out.store->Ingest(batch)
                       : part->out.store->Write(batch);
  HB_FAULT_POINT("restore.spilled");
  ClearBuffer(part);
  return written;
}

Status Restore::Finish(Part* part) {
  const bool has_local = part->changelog_id.has_value() && !part->changelog_id->empty();
  if (has_local && !part->last_meta && part->end > part->begin) {
    // A log of the same length that does not hold the record we were at is another log.
    if (Status rebuilt = Rebuild(part, "other_changelog", "it does not belong to this changelog");
        !rebuilt)
      return rebuilt;
    if (part->next < part->end) return reading_ ? StartReading() : Status();
  }
  const Result<Check> checked = CheckInput(part);
  if (!checked) return std::unexpected(checked.error());
  // Frozen for so long, we may have read a customer whose tombstone was gone before we came to it.
  const bool too_slow = clock_.Monotonic() - asked_.monotonic > options_.delete_retention / 2;
  if (*checked == Check::kStartOver || too_slow) {
    start_over_ = true;
    return {};
  }
  // Every transaction ends with the shard's record, so nothing committed lies behind the newest
  // one; a position there, and not behind the control record that follows, finds it again.
  if (part->last_meta) part->out.synced = {*part->last_meta + 1, asked_.wall};
  if (!part->buffer.empty() || part->last_meta) {
    if (Status spilled = Spill(part); !spilled) return spilled;
  }
  if (part->rebuilding) {
    const Result<uint64_t> customers = IndexDeadlines(*part);
    if (!customers) return std::unexpected(customers.error());
    // A log without any record of the shard does not say how many it should hold.
    const Result<Check> whole = part->last_meta ? CheckWhole(*part, *customers) : Check::kFine;
    if (!whole) return std::unexpected(whole.error());
    if (*whole == Check::kStartOver) {
      start_over_ = true;
      return {};
    }
    if (part->last_meta) {
      part->rebuilding = false;
      if (Status spilled = Spill(part); !spilled) return spilled;
    }
  }
  part->done = true;
  return {};
}

// A shard's record does not fit what was asked before it was read. Others may have committed since
// (we were frozen), and compaction may have removed the record that was the newest then. Only if
// the log has not grown until we ask again is there no such excuse.
bool Restore::FirstDoubt(const Part& part) {
  const auto [it, is_new] = doubted_at_.try_emplace(part.out.partition, part.end);
  if (!is_new && it->second == part.end) return false;
  it->second = part.end;
  return true;
}

// Indexes the deadlines of everybody in a store that was filled from the changelog alone. Returns
// how many customers there are.
Result<uint64_t> Restore::IndexDeadlines(const Part& part) {
  constexpr size_t kPerTimer = sizeof(Timer) + 32;
  const size_t timers_max = std::max<size_t>(1, options_.buffer_bytes_max / kPerTimer);
  uint64_t found = 0;
  StoreBatch batch;
  const auto ingest = [&] {
    std::sort(batch.timers_added.begin(), batch.timers_added.end());
    Status done = part.out.store->Ingest(batch);
    batch.timers_added.clear();
    return done;
  };
  Status visited = part.out.store->VisitCustomers(
      [&](std::string_view customer, std::string_view value) -> Status {
        ++found;
        const Result<CustomerTable::Stored> stored = CustomerTable::ParseStored(value);
        if (!stored) return std::unexpected(stored.error());
        if (stored->indexed == EventTime::Never()) return {};
        batch.timers_added.push_back({stored->indexed, std::string(customer)});
        return batch.timers_added.size() < timers_max ? Status() : ingest();
      });
  if (visited && !batch.timers_added.empty()) visited = ingest();
  if (!visited) return std::unexpected(std::move(visited.error()));
  return found;
}

// What was read from the changelog alone, `found` customers, must be all that was ever committed.
Result<Restore::Check> Restore::CheckWhole(const Part& part, uint64_t found) {
  if (found == part.out.meta.customers) return Check::kFine;
  if (FirstDoubt(part)) return Check::kStartOver;
  return Fail(
      fmt::format("{}[{}]: the changelog holds {} customers but says that there are {}: it has "
                  "lost data (records deleted, or another cleanup.policy than compact?). "
                  "Restore the changelog, or, to begin anew and lose all state, delete it "
                  "and the group's offsets",
                  options_.changelog, part.out.partition, found, part.out.meta.customers),
      ExitCode::kBroken);
}

// The shard's record against the group's offset and the input's range.
Result<Restore::Check> Restore::CheckInput(Part* part) {
  ShardMeta& meta = part->out.meta;
  const bool known = !meta.changelog_id.empty();
  const int32_t partition = part->out.partition;
  for (size_t i = 0; i < options_.topics.size(); ++i) {
    const std::string& topic = options_.topics[i];
    const OffsetRange& range = part->input[i];
    const auto next = meta.next.find(topic);
    const std::optional<int64_t>& group = part->committed[i];
    if (group && (next == meta.next.end() || next->second < *group)) {
      if (FirstDoubt(*part)) return Check::kStartOver;
      return Fail(fmt::format("{}[{}]: the group has committed offset {}, but the changelog {} "
                              "knows {}. Either the changelog has lost "
                              "data or was deleted, or somebody has moved the group's offsets. "
                              "Restore the changelog, or, to begin "
                              "anew and lose all state, delete the group's offsets",
                              topic, partition, *group, options_.changelog,
                              next == meta.next.end() ? "nothing of it"
                                                      : fmt::format("only {}", next->second)),
                  ExitCode::kBroken);
    }
    if (next == meta.next.end()) {
      meta.next[topic] = options_.from_latest ? range.end : range.begin;
    } else if (next->second < range.begin || next->second > range.end) {
      if (FirstDoubt(*part)) return Check::kStartOver;
      const std::string lost =
          next->second < range.begin
              ? fmt::format("offsets {} to {} are gone (retention)", next->second, range.begin - 1)
              : fmt::format("it ends at {}, before our position {} (was it recreated?)", range.end,
                            next->second);
      if (!options_.accept_lost_input) {
        return Fail(fmt::format("{}[{}]: {}. To accept the loss and go on at offset {}, start once "
                                "with --accept-lost-input",
                                topic, partition, lost, range.begin),
                    ExitCode::kBroken);
      }
      spdlog::warn("{}[{}]: {}; going on at offset {}, as asked", topic, partition, lost,
                   range.begin);
      next->second = range.begin;
    }
  }
  part->out.is_new = !known;
  if (!known) meta.changelog_id = RandomUuid();
  return Check::kFine;
}

Restore::Part* Restore::Find(int32_t partition) {
  const auto it = std::find_if(parts_.begin(), parts_.end(),
                               [&](const Part& p) { return p.out.partition == partition; });
  return it == parts_.end() ? nullptr : &*it;
}

std::vector<Restored> Restore::Take() {
  std::vector<Restored> out;
  for (Part& part : parts_) out.push_back(std::move(part.out));
  return out;
}

std::vector<int32_t> Restore::Damaged() const {
  std::vector<int32_t> damaged;
  for (const Part& part : parts_) {
    if (!part.out.store) continue;
    if (!part.out.store->LocalMeta()) damaged.push_back(part.out.partition);
  }
  return damaged;
}

std::map<int32_t, uint64_t> Restore::Remaining() const {
  std::map<int32_t, uint64_t> out;
  for (const Part& part : parts_)
    out[part.out.partition] =
        part.done ? 0 : static_cast<uint64_t>(std::max<int64_t>(0, part.end - part.next));
  return out;
}

}  // namespace heartbeatd
