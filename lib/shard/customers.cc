#include "shard/customers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fault.h"

namespace heartbeatd {
namespace {

// Of memory: an entry of the timer index; a customer without its value: the map's node with the id,
// its places in the map's and the clock's arrays.
constexpr size_t kTimerBytes = 96;
constexpr size_t kCustomerBytes = sizeof(Customer) + sizeof(std::string) + 40;
constexpr size_t kTimersShare = 8;  // timers of customers who are not in memory may take this part
constexpr size_t kUnpackedShare = 16;  // unpacked states may take this part
// What a byte of an encoded state grows to when it is unpacked, as a rule, apart from the parts
// that every state has.
constexpr size_t kUnpackedPerByte = 5;

// What an allocation takes, with what the allocator rounds it up by on average.
size_t Allocated(size_t bytes) { return bytes + bytes / 8; }

// A long id lies in the map and in the timer index.
size_t BytesOf(const Customer& customer) {
  constexpr size_t kInPlace = 15;
  const size_t id = customer.id.size() > kInPlace ? 2 * Allocated(customer.id.size() + 1) : 0;
  return kCustomerBytes + id + Allocated(customer.value.capacity());
}

void PutIndexed(EventTime indexed, std::string* value) {
  const int64_t ms = indexed.ms();
  std::memcpy(value->data(), &ms, sizeof ms);
}

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
  if (unpacked_bytes_ > cache_bytes_max_ / kUnpackedShare) PackAll();
  auto it = customers_.find(id);
  if (it == customers_.end()) {
    Result<std::optional<std::string>> read = store_.Get(id);
    if (!read) return std::unexpected(std::move(read.error()));
    Customer customer;
    if (*read) {
      const Result<Stored> stored = ParseStored(**read);
      if (!stored) return std::unexpected(stored.error());
      customer.exists = true;
      customer.indexed = customer.saved_index = stored->indexed;
      customer.encoded_bytes = static_cast<uint32_t>(stored->encoded.size());
      customer.value = std::move(**read);
    }
    it = customers_.emplace(std::string(id), std::move(customer)).first;
    it->second.id = it->first;
    ring_.push_back(&it->second);
    customers_bytes_ += BytesOf(it->second);
  }
  Customer* customer = &it->second;
  customer->used = true;
  if (Status unpacked = Unpack(customer); !unpacked)
    return std::unexpected(std::move(unpacked.error()));
  return customer;
}

Status CustomerTable::Unpack(Customer* customer) {
  if (customer->state) return {};
  auto state = std::make_unique<CustomerState>();
  if (customer->exists) {
    if (Status decoded = codec_.Decode(ParseStored(customer->value)->encoded, state.get());
        !decoded)
      return decoded;
  } else {
    *state = fresh_;
  }
  customer->state = std::move(state);
  unpacked_.push_back(customer);
  unpacked_bytes_ += sizeof(CustomerState) + fresh_.measures.size() * sizeof(MeasureState) +
                     fresh_.rules.size() * sizeof(RuleState) +
                     kUnpackedPerByte * customer->encoded_bytes;
  return {};
}

void CustomerTable::PackAll() {
  for (Customer* customer : unpacked_) {
    (void)Encode(customer);
    if (customer->exists) PutIndexed(customer->indexed, &customer->value);
    customer->state.reset();
  }
  unpacked_.clear();
  unpacked_bytes_ = 0;
}

template <typename Change>
void CustomerTable::Resize(Customer* customer, const Change& change) {
  const size_t before = BytesOf(*customer);
  change();
  const size_t after = BytesOf(*customer);
  customers_bytes_ += after - before;
  if (customer->unsaved) unsaved_bytes_ += after - before;
}

std::optional<std::string_view> CustomerTable::Encode(Customer* customer) {
  if (!customer->exists) return std::nullopt;
  if (customer->changed) {
    customer->changed = false;
    customer->encoded_bytes = static_cast<uint32_t>(EncodedBytes(*customer));
    Resize(customer, [&] {
      // No longer than it must be: there are many of them.
      if (sizeof(int64_t) + scratch_.size() > customer->value.capacity()) {
        customer->value = StoredValue(customer->indexed, scratch_);
      } else {
        customer->value.resize(sizeof(int64_t));
        PutIndexed(customer->indexed, &customer->value);
        customer->value += scratch_;
      }
    });
  }
  return ParseStored(customer->value)->encoded;
}

size_t CustomerTable::EncodedBytes(const Customer& customer) {
  codec_.Encode(*customer.state, &scratch_);
  return scratch_.size();
}

bool CustomerTable::IsStale(const Timer& timer) {
  const auto it = customers_.find(timer.customer);
  if (it == customers_.end()) return false;  // whom it belongs to is found out when it is due
  const Customer& customer = it->second;
  if (customer.indexed == timer.due) return false;
  if (customer.saved_index != timer.due)
    dropped_timers_.push_back(timer);  // left behind by a restore
  return true;
}

void CustomerTable::MarkUnsaved(Customer* customer) {
  if (customer->unsaved) return;
  customer->unsaved = true;
  unsaved_.push_back(customer);
  unsaved_bytes_ += BytesOf(*customer);
}

void CustomerTable::MarkChanged(Customer* customer) {
  customer->exists = true;
  customer->changed = true;
  if (!customer->uncommitted) {
    customer->uncommitted = true;
    uncommitted_.push_back(customer);
  }
  MarkUnsaved(customer);
  const EventTime due = customer->state->Due();
  if (due < customer->indexed) {
    timers_.Remove({customer->indexed, std::string(customer->id)});
    customer->indexed = due;
    timers_.Add({due, std::string(customer->id)});
  }
}

void CustomerTable::Erase(Customer* customer) {
  *customer->state = fresh_;
  MarkChanged(customer);
  timers_.Remove({customer->indexed, std::string(customer->id)});
  customer->indexed = EventTime::Never();
  customer->exists = false;
  customer->changed = false;
  Resize(customer, [&] { customer->value = {}; });
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
    *due = customer->state->Due();
    if (customer->indexed == entry.due && *due == entry.due) return customer;
    timers_.Remove(entry);
    if (customer->indexed != entry.due) {
      dropped_timers_.push_back(entry);  // left behind by a restore
      continue;
    }
    // The deadline has moved back since the entry was made. Only the index changes, not the state.
    customer->indexed = *due;
    MarkUnsaved(customer);
    timers_.Add({*due, entry.customer});
  }
}

void CustomerTable::OnProduced() {
  for (Customer* customer : uncommitted_) customer->uncommitted = false;
  uncommitted_.clear();
  PackAll();
}

Status CustomerTable::Save(std::string_view local_meta) {
  PackAll();
  // In the order of the keys: neighbours in the batch are neighbours in the memtable, which is what
  // makes inserting them cheap.
  std::sort(unsaved_.begin(), unsaved_.end(),
            [](const Customer* a, const Customer* b) { return a->id < b->id; });
  const size_t batch_bytes_max = std::min(kSaveBytesMax, cache_bytes_max_ / 16);
  StoreBatch batch;
  std::vector<Customer*> in_batch;
  size_t bytes = 0;
  batch.timers_removed = dropped_timers_;
  for (Customer* customer : unsaved_) {
    AddTo(&batch, *customer);
    in_batch.push_back(customer);
    bytes += customer->value.size();
    if (bytes < batch_bytes_max) continue;
    if (Status written = Write(&batch, in_batch); !written) return written;
    in_batch.clear();
    bytes = 0;
  }
  batch.local_meta = local_meta;
  if (Status written = Write(&batch, in_batch); !written) return written;
  dropped_timers_.clear();
  for (Customer* customer : unsaved_) customer->unsaved = false;
  unsaved_.clear();
  unsaved_bytes_ = 0;
  timers_.OnSaved();
  Trim();
  return {};
}

void CustomerTable::AddTo(StoreBatch* batch, const Customer& customer) {
  if (customer.exists) {
    batch->states.push_back({customer.id, customer.value});
  } else {
    batch->states.push_back({customer.id, std::nullopt});
  }
  if (customer.indexed == customer.saved_index) return;
  if (customer.saved_index != EventTime::Never())
    batch->timers_removed.push_back({customer.saved_index, std::string(customer.id)});
  if (customer.indexed != EventTime::Never())
    batch->timers_added.push_back({customer.indexed, std::string(customer.id)});
}

// A customer's state and timer go in one batch: a timer without its state, or the reverse, would be
// looked for in the wrong place.
Status CustomerTable::Write(StoreBatch* batch, const std::vector<Customer*>& written) {
  std::sort(batch->timers_removed.begin(), batch->timers_removed.end());
  std::sort(batch->timers_added.begin(), batch->timers_added.end());
  // After a failure everything is still in place for the next attempt.
  if (HB_FAULT_ERROR("store.write"))
    return Fail("local state: writing: I/O error", ExitCode::kTemporary);
  if (Status done = store_.Write(*batch); !done) return done;
  for (Customer* customer : written) customer->saved_index = customer->indexed;
  *batch = {};
  return {};
}

bool CustomerTable::Trim() {
  if (memory_bytes() <= cache_bytes_max_) return true;
  PackAll();
  // Some room to grow, so that not every customer who comes drives out another one; and no search
  // for the last few who are saved.
  const size_t wanted = cache_bytes_max_ - cache_bytes_max_ / 16;
  size_t looks = 2 * ring_.size();
  while (memory_bytes() > wanted && customers_bytes_ - unsaved_bytes_ > cache_bytes_max_ / 8 &&
         looks-- > 0) {
    Customer* customer = ring_.front();
    ring_.pop_front();
    const bool stays = customer->state || customer->unsaved;
    if (stays || customer->used) {
      customer->used = stays && customer->used;
      ring_.push_back(customer);
      continue;
    }
    customers_bytes_ -= BytesOf(*customer);
    customers_.erase(customers_.find(customer->id));
  }
  return memory_bytes() <= cache_bytes_max_;
}

size_t CustomerTable::memory_bytes() const {
  return customers_bytes_ + unpacked_bytes_ + timers_.size() * kTimerBytes;
}

std::string CustomerTable::StoredValue(EventTime indexed, std::string_view encoded) {
  std::string value(sizeof(int64_t) + encoded.size(), '\0');
  PutIndexed(indexed, &value);
  std::memcpy(value.data() + sizeof(int64_t), encoded.data(), encoded.size());
  return value;
}

Result<CustomerTable::Stored> CustomerTable::ParseStored(std::string_view value) {
  int64_t ms = 0;
  if (value.size() < sizeof ms) return Fail("a stored state is too short", ExitCode::kBroken);
  std::memcpy(&ms, value.data(), sizeof ms);
  return Stored{EventTime(ms), value.substr(sizeof ms)};
}

}  // namespace heartbeatd
