#include "shard/customers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fault.h"

namespace heartbeatd {
namespace {

// Of memory: an entry of the timer index; a customer without its state: the object, the map's node
// with the id, the timer.
constexpr size_t kTimerBytes = 128;
constexpr size_t kCustomerBytes = sizeof(Customer) + 128 + kTimerBytes;
constexpr size_t kTimersShare = 8;  // timers that no customer in memory has may take this part

}  // namespace

CustomerTable::CustomerTable(const RuleSet& rules, CustomerState fresh, Store& store,
                             size_t cache_bytes_max)
    : codec_(rules),
      fresh_(std::move(fresh)),
      store_(store),
      cache_bytes_max_(cache_bytes_max),
      timers_(
          store,
          [this](const Timer& timer) {
            const auto it = customers_.find(timer.customer);
            return it != customers_.end() && it->second->indexed != timer.due;
          },
          cache_bytes_max / kTimersShare / kTimerBytes) {}

Result<Customer*> CustomerTable::Find(std::string_view id) {
  if (const auto it = customers_.find(id); it != customers_.end()) {
    it->second->used = period_;
    return it->second.get();
  }
  Result<std::optional<std::string>> value = store_.Get(id);
  if (!value) return std::unexpected(std::move(value.error()));
  auto customer = std::make_unique<Customer>();
  customer->used = period_;
  if (*value) {
    const Result<Stored> stored = ParseStored(**value);
    if (!stored) return std::unexpected(stored.error());
    if (Status decoded = codec_.Decode(stored->encoded, &customer->state); !decoded)
      return std::unexpected(decoded.error());
    customer->exists = true;
    customer->indexed = customer->saved_index = stored->indexed;
    customer->encoded_bytes = stored->encoded.size();
  } else {
    customer->state = fresh_;
  }
  const auto [it, is_new] = customers_.emplace(std::string(id), std::move(customer));
  it->second->id = it->first;
  Weigh(it->second.get());
  return it->second.get();
}

void CustomerTable::Weigh(Customer* customer) {
  const size_t bytes = kCustomerBytes + MemoryOf(customer->state);
  memory_bytes_ += bytes - customer->memory_bytes;
  customer->memory_bytes = bytes;
}

void CustomerTable::MarkChanged(Customer* customer) {
  customer->exists = true;
  if (!customer->uncommitted) {
    customer->uncommitted = true;
    uncommitted_.push_back(customer);
  }
  if (!customer->unsaved) {
    customer->unsaved = true;
    unsaved_.push_back(customer);
  }
  const EventTime due = customer->state.Due();
  if (due < customer->indexed) {
    timers_.Remove({customer->indexed, std::string(customer->id)});
    customer->indexed = due;
    timers_.Add({due, std::string(customer->id)});
  }
}

void CustomerTable::Erase(Customer* customer) {
  customer->state = fresh_;
  MarkChanged(customer);
  timers_.Remove({customer->indexed, std::string(customer->id)});
  customer->indexed = EventTime::Never();
  customer->exists = false;
}

Result<Customer*> CustomerTable::NextDue(EventTime up_to, EventTime* due) {
  while (true) {
    Result<std::optional<Timer>> first = timers_.First(up_to);
    if (!first) return std::unexpected(std::move(first.error()));
    if (!*first) return nullptr;
    const Timer& entry = **first;
    Result<Customer*> found = Find(entry.customer);
    if (!found) return found;
    Customer* customer = *found;
    *due = customer->state.Due();
    if (customer->indexed == entry.due && *due == entry.due) return customer;
    timers_.Remove(entry);
    if (customer->indexed != entry.due) {
      dropped_timers_.push_back(entry);  // left behind by a restore
      continue;
    }
    // The deadline has moved back since the entry was made. Only the index changes, not the state.
    customer->indexed = *due;
    if (!customer->unsaved) {
      customer->unsaved = true;
      unsaved_.push_back(customer);
    }
    timers_.Add({*due, entry.customer});
  }
}

std::optional<std::string_view> CustomerTable::Encode(Customer* customer) {
  if (!customer->exists) return std::nullopt;
  codec_.Encode(customer->state, &scratch_);
  customer->encoded_bytes = scratch_.size();
  return scratch_;
}

void CustomerTable::OnProduced() {
  for (Customer* customer : uncommitted_) {
    customer->uncommitted = false;
    Weigh(customer);
  }
  uncommitted_.clear();
}

Status CustomerTable::Save(std::string_view local_meta) {
  // In the order of the keys: neighbours in the batch are neighbours in the memtable, which is what
  // makes inserting them cheap.
  std::sort(unsaved_.begin(), unsaved_.end(),
            [](const Customer* a, const Customer* b) { return a->id < b->id; });
  const size_t batch_bytes_max = std::min(kSaveBytesMax, cache_bytes_max_ / 16);
  StoreBatch batch;
  std::vector<Customer*> in_batch;
  std::deque<std::string> values;  // of the batch; a deque, since it points into them
  size_t bytes = 0;
  batch.timers_removed = dropped_timers_;
  for (Customer* customer : unsaved_) {
    AddTo(&batch, &values, customer);
    in_batch.push_back(customer);
    bytes += customer->encoded_bytes;
    if (bytes < batch_bytes_max) continue;
    if (Status written = Write(&batch, in_batch); !written) return written;
    in_batch.clear();
    values.clear();
    bytes = 0;
  }
  batch.local_meta = local_meta;
  if (Status written = Write(&batch, in_batch); !written) return written;
  dropped_timers_.clear();
  for (Customer* customer : unsaved_) customer->unsaved = false;
  unsaved_.clear();
  timers_.OnSaved();
  Trim();
  return {};
}

void CustomerTable::AddTo(StoreBatch* batch, std::deque<std::string>* values, Customer* customer) {
  if (const std::optional<std::string_view> encoded = Encode(customer)) {
    values->push_back(StoredValue(customer->indexed, *encoded));
    batch->states.push_back({customer->id, values->back()});
  } else {
    batch->states.push_back({customer->id, std::nullopt});
  }
  if (customer->indexed == customer->saved_index) return;
  if (customer->saved_index != EventTime::Never())
    batch->timers_removed.push_back({customer->saved_index, std::string(customer->id)});
  if (customer->indexed != EventTime::Never())
    batch->timers_added.push_back({customer->indexed, std::string(customer->id)});
}

// A customer's state and timer go in one batch: a timer without its state, or the reverse, would be
// looked for in the wrong place.
Status CustomerTable::Write(StoreBatch* batch, const std::vector<Customer*>& customers) {
  std::sort(batch->timers_removed.begin(), batch->timers_removed.end());
  std::sort(batch->timers_added.begin(), batch->timers_added.end());
  // After a failure everything is still in place for the next attempt.
  if (HB_FAULT_ERROR("store.write"))
    return Fail("local state: writing: I/O error", ExitCode::kTemporary);
  if (Status written = store_.Write(*batch); !written) return written;
  for (Customer* customer : customers) customer->saved_index = customer->indexed;
  *batch = {};
  return {};
}

bool CustomerTable::Trim() {
  if (memory_bytes_ <= cache_bytes_max_) return true;
  if (unsaved_.size() > customers_.size() / 2) return false;
  // With some room to grow, so that one look at all of them serves many that come later; first
  // those not used in this period.
  const size_t wanted = cache_bytes_max_ / 4 * 3;
  for (const bool all : {false, true}) {
    for (auto it = customers_.begin(); memory_bytes_ > wanted && it != customers_.end();) {
      const Customer& customer = *it->second;
      if (!customer.unsaved && !customer.uncommitted && (all || customer.used < period_)) {
        memory_bytes_ -= customer.memory_bytes;
        it = customers_.erase(it);
      } else {
        ++it;
      }
    }
  }
  ++period_;
  return true;
}

std::string CustomerTable::StoredValue(EventTime indexed, std::string_view encoded) {
  const int64_t ms = indexed.ms();
  std::string value(sizeof ms + encoded.size(), '\0');
  std::memcpy(value.data(), &ms, sizeof ms);
  std::memcpy(value.data() + sizeof ms, encoded.data(), encoded.size());
  return value;
}

Result<CustomerTable::Stored> CustomerTable::ParseStored(std::string_view value) {
  int64_t ms = 0;
  if (value.size() < sizeof ms) return Fail("a stored state is too short", ExitCode::kBroken);
  std::memcpy(&ms, value.data(), sizeof ms);
  return Stored{EventTime(ms), value.substr(sizeof ms)};
}

}  // namespace heartbeatd
