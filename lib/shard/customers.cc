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
constexpr size_t kPackedBytes = 128;  // around a packed state: the map's node with the id
constexpr size_t kTimersShare = 8;    // timers that no customer in memory has may take this part
constexpr size_t kPackedShare = 4;    // of each generation of packed and saved customers

}  // namespace

CustomerTable::CustomerTable(const RuleSet& rules, CustomerState fresh, Store& store,
                             size_t cache_bytes_max)
    : codec_(rules),
      fresh_(std::move(fresh)),
      store_(store),
      cache_bytes_max_(cache_bytes_max),
      timers_(
          store, [this](const Timer& timer) { return IsStale(timer); },
          cache_bytes_max / kTimersShare / kTimerBytes) {}

Result<Customer*> CustomerTable::Find(std::string_view id) {
  if (const auto it = customers_.find(id); it != customers_.end()) {
    it->second->used = period_;
    return it->second.get();
  }
  auto customer = std::make_unique<Customer>();
  customer->used = period_;
  std::optional<std::string> value = Unpack(id, &customer->unsaved, &customer->saved_index);
  if (!value) {
    Result<std::optional<std::string>> read = store_.Get(id);
    if (!read) return std::unexpected(std::move(read.error()));
    value = std::move(*read);
  }
  if (value) {
    const Result<Stored> stored = ParseStored(*value);
    if (!stored) return std::unexpected(stored.error());
    if (Status decoded = codec_.Decode(stored->encoded, &customer->state); !decoded)
      return std::unexpected(decoded.error());
    customer->exists = true;
    customer->indexed = stored->indexed;
    if (!customer->unsaved) customer->saved_index = stored->indexed;
    customer->encoded_bytes = stored->encoded.size();
  } else {
    customer->state = fresh_;
  }
  const auto [it, is_new] = customers_.emplace(std::string(id), std::move(customer));
  it->second->id = it->first;
  if (it->second->unsaved) unsaved_.push_back(it->second.get());
  Weigh(it->second.get());
  return it->second.get();
}

void CustomerTable::Weigh(Customer* customer) {
  const size_t bytes = kCustomerBytes + MemoryOf(customer->state);
  ready_bytes_ += bytes - customer->memory_bytes;
  customer->memory_bytes = bytes;
}

bool CustomerTable::IsStale(const Timer& timer) {
  EventTime indexed;
  EventTime saved_index;
  if (const auto ready = customers_.find(timer.customer); ready != customers_.end()) {
    indexed = ready->second->indexed;
    saved_index = ready->second->saved_index;
  } else if (const auto packed = packed_unsaved_.find(timer.customer);
             packed != packed_unsaved_.end()) {
    const Result<Stored> stored = ParseStored(packed->second.value);
    indexed = stored ? stored->indexed : timer.due;
    saved_index = packed->second.saved_index;
  } else {
    return false;  // whom it belongs to is found out when it is due
  }
  if (indexed == timer.due) return false;
  if (saved_index != timer.due) dropped_timers_.push_back(timer);  // left behind by a restore
  return true;
}

std::optional<std::string> CustomerTable::Unpack(std::string_view id, bool* unsaved,
                                                 EventTime* saved_index) {
  if (const auto it = packed_unsaved_.find(id); it != packed_unsaved_.end()) {
    *unsaved = true;
    *saved_index = it->second.saved_index;
    std::string value = std::move(it->second.value);
    packed_unsaved_bytes_ -= value.size() + kPackedBytes + kTimerBytes;
    packed_unsaved_.erase(it);
    return value;
  }
  for (auto [packed, bytes] :
       {std::pair(&packed_, &packed_bytes_), std::pair(&packed_before_, &packed_before_bytes_)}) {
    const auto it = packed->find(id);
    if (it == packed->end()) continue;
    std::string value = std::move(it->second);
    *bytes -= value.size() + kPackedBytes;
    packed->erase(it);
    return value;
  }
  return {};
}

void CustomerTable::KeepPacked(std::string id, std::string value) {
  if (packed_bytes_ > cache_bytes_max_ / kPackedShare) {
    packed_before_ = std::exchange(packed_, {});
    packed_before_bytes_ = std::exchange(packed_bytes_, 0);
  }
  packed_bytes_ += value.size() + kPackedBytes;
  packed_.emplace(std::move(id), std::move(value));
}

CustomerTable::Map::iterator CustomerTable::Pack(Map::iterator at) {
  Customer& customer = *at->second;
  if (!customer.exists && customer.unsaved) return std::next(at);
  if (const std::optional<std::string_view> encoded = Encode(&customer)) {
    std::string value = StoredValue(customer.indexed, *encoded);
    if (customer.unsaved) {
      packed_unsaved_bytes_ += value.size() + kPackedBytes + kTimerBytes;
      packed_unsaved_.emplace(at->first, Unsaved{std::move(value), customer.saved_index});
    } else {
      KeepPacked(at->first, std::move(value));
    }
  }
  ready_bytes_ -= customer.memory_bytes;
  return customers_.erase(at);
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
  std::vector<ToSave> all;
  all.reserve(unsaved());
  for (Customer* customer : unsaved_) all.push_back({.id = customer->id, .ready = customer});
  for (auto& [id, packed] : packed_unsaved_) all.push_back({.id = id, .packed = &packed});
  // In the order of the keys: neighbours in the batch are neighbours in the memtable, which is what
  // makes inserting them cheap.
  std::sort(all.begin(), all.end(), [](const ToSave& a, const ToSave& b) { return a.id < b.id; });
  const size_t batch_bytes_max = std::min(kSaveBytesMax, cache_bytes_max_ / 16);
  StoreBatch batch;
  std::vector<ToSave> in_batch;
  std::deque<std::string> values;  // of the batch; a deque, since it points into them
  size_t bytes = 0;
  batch.timers_removed = dropped_timers_;
  for (const ToSave& one : all) {
    bytes += AddTo(&batch, &values, one);
    in_batch.push_back(one);
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
  while (!packed_unsaved_.empty()) {
    auto node = packed_unsaved_.extract(packed_unsaved_.begin());
    KeepPacked(std::move(node.key()), std::move(node.mapped().value));
  }
  packed_unsaved_bytes_ = 0;
  timers_.OnSaved();
  Trim();
  return {};
}

size_t CustomerTable::AddTo(StoreBatch* batch, std::deque<std::string>* values, const ToSave& one) {
  EventTime indexed = EventTime::Never();
  EventTime saved_index = EventTime::Never();
  size_t bytes = 0;
  if (one.packed != nullptr) {
    batch->states.push_back({one.id, one.packed->value});
    const Result<Stored> stored = ParseStored(one.packed->value);
    indexed = stored ? stored->indexed : EventTime::Never();
    saved_index = one.packed->saved_index;
    bytes = one.packed->value.size();
  } else if (const std::optional<std::string_view> encoded = Encode(one.ready)) {
    values->push_back(StoredValue(one.ready->indexed, *encoded));
    batch->states.push_back({one.id, values->back()});
    bytes = values->back().size();
  } else {
    batch->states.push_back({one.id, std::nullopt});
  }
  if (one.ready != nullptr) {
    indexed = one.ready->indexed;
    saved_index = one.ready->saved_index;
  }
  if (indexed == saved_index) return bytes;
  if (saved_index != EventTime::Never())
    batch->timers_removed.push_back({saved_index, std::string(one.id)});
  if (indexed != EventTime::Never()) batch->timers_added.push_back({indexed, std::string(one.id)});
  return bytes;
}

// A customer's state and timer go in one batch: a timer without its state, or the reverse, would be
// looked for in the wrong place.
Status CustomerTable::Write(StoreBatch* batch, const std::vector<ToSave>& written) {
  std::sort(batch->timers_removed.begin(), batch->timers_removed.end());
  std::sort(batch->timers_added.begin(), batch->timers_added.end());
  // After a failure everything is still in place for the next attempt.
  if (HB_FAULT_ERROR("store.write"))
    return Fail("local state: writing: I/O error", ExitCode::kTemporary);
  if (Status done = store_.Write(*batch); !done) return done;
  for (const ToSave& one : written) {
    if (one.ready != nullptr) one.ready->saved_index = one.ready->indexed;
    if (one.packed != nullptr) one.packed->saved_index = ParseStored(one.packed->value)->indexed;
  }
  *batch = {};
  return {};
}

bool CustomerTable::Trim() {
  if (memory_bytes() <= cache_bytes_max_) return true;
  // With some room to grow, so that one look at all of them serves many that come later; first
  // those not used in this period.
  const size_t wanted = cache_bytes_max_ / 4;
  for (const bool all : {false, true}) {
    for (auto it = customers_.begin(); ready_bytes_ > wanted && it != customers_.end();) {
      const Customer& customer = *it->second;
      it = !customer.uncommitted && (all || customer.used < period_) ? Pack(it) : std::next(it);
    }
  }
  unsaved_.clear();
  for (const auto& [id, customer] : customers_) {
    if (customer->unsaved) unsaved_.push_back(customer.get());
  }
  ++period_;
  for (auto [packed, bytes] :
       {std::pair(&packed_before_, &packed_before_bytes_), std::pair(&packed_, &packed_bytes_)}) {
    if (memory_bytes() <= cache_bytes_max_) break;
    *packed = {};
    *bytes = 0;
  }
  return memory_bytes() <= cache_bytes_max_;
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
