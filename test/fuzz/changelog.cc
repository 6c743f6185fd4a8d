// Changelog records as the production restore reads them: any keys and values in any order, over a
// local store that may hold any record of its own. The restore ends, with an error or with a store
// that holds the newest value of each customer and every deadline.
//
// Input: flags; the local record if there is one; then records: a key's length (1 byte, kNull: no
// key) and bytes, a value's length (2 bytes, kTombstone: none) and bytes. The byte after the flags
// is the group's offset.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "fuzz/fuzz.h"
#include "shard/customers.h"
#include "shard/restore.h"
#include "store/memory_store.h"

namespace {

using namespace heartbeatd;
using fuzz::Require;

constexpr uint8_t kHasLocalRecord = 1;
constexpr uint8_t kGroupHasCommitted = 2;
constexpr uint8_t kAcceptLostInput = 4;
constexpr uint8_t kNull = 0xFF;
constexpr uint16_t kTombstone = 0xFFFF;
constexpr WallTime kNow{1'767'225'600'000};  // 2026-01-01

struct Record {
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;
};

// Input topic and changelog, one partition each.
class Source final : public EventSource {
 public:
  Source(std::vector<Record> records, std::optional<int64_t> committed)
      : records_(std::move(records)), committed_(committed) {}

  Polled Poll(Duration /*timeout*/) override {
    Polled polled;
    const auto at = static_cast<size_t>(next_);
    if (at >= records_.size()) {
      polled.kind = Polled::Kind::kEndOfPartition;
      polled.at = {{"changelog", 0}, static_cast<int64_t>(records_.size())};
      return polled;
    }
    polled.kind = Polled::Kind::kRecord;
    polled.record = {.topic = "changelog",
                     .offset = next_++,
                     .key = records_[at].key,
                     .payload = records_[at].value};
    return polled;
  }
  Status Start(const std::vector<Position>& positions) override {
    if (!positions.empty()) began_ = next_ = positions.front().offset;
    return {};
  }
  Status Stop() override { return {}; }
  Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& /*of*/, Duration /*timeout*/) override {
    return std::vector{committed_};
  }
  Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                           Duration /*timeout*/) override {
    constexpr int64_t kInputEnd = 1'000'000;
    const bool input = of.front().topic == "events";
    return std::vector{OffsetRange{0, input ? kInputEnd : static_cast<int64_t>(records_.size())}};
  }
  std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& /*of*/) override { return {}; }
  bool IsMember() override { return true; }
  Status Reopen() override { return {}; }

  [[nodiscard]] size_t size() const { return records_.size(); }
  // What the restore was given since it last began, the newest value of each customer.
  [[nodiscard]] std::map<std::string_view, std::string_view> Folded() const {
    std::map<std::string_view, std::string_view> states;
    for (size_t i = static_cast<size_t>(began_); i < static_cast<size_t>(next_); ++i) {
      const auto& [key, value] = records_[i];
      const auto customer = key ? CustomerOf(*key) : std::nullopt;
      if (!customer) continue;
      if (value) {
        states[*customer] = *value;
      } else {
        states.erase(*customer);
      }
    }
    return states;
  }

 private:
  const std::vector<Record> records_;
  const std::optional<int64_t> committed_;
  int64_t next_ = 0;
  int64_t began_ = 0;
};

std::vector<Record> RecordsOf(fuzz::Input* input) {
  std::vector<Record> records;
  while (!input->empty()) {
    Record& record = records.emplace_back();
    const uint8_t key = input->Byte();
    if (key != kNull) record.key = input->Text(key);
    const auto value = static_cast<uint16_t>(input->Number(2));
    if (value != kTombstone) record.value = input->Text(value);
  }
  return records;
}

void CheckStore(const Source& source, Store* store) {
  const auto expected = source.Folded();
  const auto customers = store->Customers("", SIZE_MAX);
  const Timer before_all{EventTime::Min(), ""};
  const auto timers = store->Timers(before_all, SIZE_MAX);
  Require(customers && timers, "memory does not fail");
  Require(customers->size() == expected.size(), "as many customers");
  size_t with_deadline = 0;
  for (const auto& [customer, value] : *customers) {
    const auto stored = CustomerTable::ParseStored(value);
    const auto it = expected.find(customer);
    Require(stored && it != expected.end() && stored->encoded == it->second, "the newest value");
    const Result<EventTime> due = CustomerCodec::DueOf(stored->encoded);
    Require(due && *due == stored->indexed, "the deadline");
    if (*due == EventTime::Never()) continue;
    ++with_deadline;
    Require(std::binary_search(timers->begin(), timers->end(), Timer{*due, customer}),
            "the deadline is in the index");
  }
  Require(timers->size() == with_deadline, "no other deadlines");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Input input(data, size);
  const uint8_t flags = input.Byte();
  const auto committed = static_cast<int64_t>(input.Byte());
  std::optional<std::string_view> local_record;
  if ((flags & kHasLocalRecord) != 0) local_record = input.Text(input.Number(2));
  const StoreOpener open_store = [&](int32_t /*partition*/) -> Result<std::unique_ptr<Store>> {
    std::unique_ptr<Store> store = MakeMemoryStore();
    if (local_record) Require(store->Write({.local_meta = *local_record}).has_value(), "memory");
    return store;
  };
  Source source(RecordsOf(&input),
                (flags & kGroupHasCommitted) != 0 ? std::optional(committed) : std::nullopt);
  static Metrics metrics;
  const ManualClock clock(kNow);
  std::set<int32_t> given_up;
  Restore restore({.topics = {"events"},
                   .changelog = "changelog",
                   .cluster_id = "cluster",
                   .accept_lost_input = (flags & kAcceptLostInput) != 0},
                  clock, metrics, source, source, open_store, {0}, given_up);
  // Each step takes one record. It may read everything again because it belongs to another log, and
  // all that once more for a second look.
  for (size_t steps = 4 * (source.size() + 3); steps > 0; --steps) {
    const Result<bool> done = restore.Step(Duration(0));
    if (!done) {
      Require(done.error().code == ExitCode::kBroken, "lost data stops the daemon");
      return 0;
    }
    if (!*done) continue;
    const std::vector<Restored> restored = restore.Take();
    CheckStore(source, restored.front().store.get());
    return 0;
  }
  Require(false, "a restore ends");
  return 0;
}
