#include "shard/customers.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "base/fault.h"
#include "shard/fetch.h"

namespace heartbeatd {
namespace {

// Of memory: an entry of the timer index; a customer without its value: the map's node with the id,
// its places in the map's and the clock's arrays.
constexpr size_t kTimerBytes = 96;
constexpr size_t kCustomerBytes = sizeof(Customer) + sizeof(std::string) + 40;
constexpr size_t kTimersShare = 8;  // timers of customers who are not in memory may take this part
constexpr size_t kUnpackedShare = 16;  // unpacked states may take this part
constexpr size_t kOutgoingShare = 64;  // changes that wait for their commit in one piece, this part
constexpr size_t kOutgoingBytesMax = 64u << 20;
// What a byte of an encoded state grows to when it is unpacked, as a rule, apart from the parts
// that every state has.
constexpr size_t kUnpackedPerByte = 12;

// What an allocation takes, with what the allocator rounds it up by on average.
size_t Allocated(size_t bytes) { return bytes + bytes / 8; }

// States grow by a few bytes with each event: room up to the end of the allocator's size class
// costs nothing.
size_t RoomFor(size_t bytes) {
  constexpr size_t kClass = 64;
  return (bytes + kClass) / kClass * kClass - 1;
}

}  // namespace

// A long id lies in the map and in the timer index.
size_t CustomerTable::BytesOf(const Customer& customer) {
  constexpr size_t kInPlace = 15;
  const size_t id = customer.id.size() > kInPlace ? 2 * Allocated(customer.id.size() + 1) : 0;
  return kCustomerBytes + id + Allocated(customer.value.capacity());
}

CustomerTable::CustomerTable(const RuleSet& rules, CustomerState fresh, Store& store,
                             size_t cache_bytes_max)
    : codec_(rules),
      fresh_(std::move(fresh)),
      store_(store),
      cache_bytes_max_(cache_bytes_max),
      save_bytes_max_(std::min(kSaveBytesMax, cache_bytes_max / 16)),
      timers_(
          store, [this](const Timer& timer) { return IsStale(timer); },
          cache_bytes_max / kTimersShare / kTimerBytes),
      slots_(kSlots),
      outgoing_bytes_max_(std::min(cache_bytes_max / kOutgoingShare, kOutgoingBytesMax)) {}

// ---- Finding and unpacking ---------------------------------------------------------------------

Result<Customer*> CustomerTable::Find(std::string_view id) {
  Result<Customer*> found = Lookup(id);
  return found ? Open(*found) : found;
}

Result<Customer*> CustomerTable::Open(Customer* customer) {
  if (unpacked_bytes_ > cache_bytes_max_ / kUnpackedShare) PackAll();
  if (Status unpacked = Unpack(customer); !unpacked)
    return std::unexpected(std::move(unpacked.error()));
  return customer;
}

Result<Customer*> CustomerTable::Lookup(std::string_view id) {
  auto it = customers_.find(id);
  if (it == customers_.end()) {
    Result<std::optional<std::string>> read = store_.Get(id);
    if (!read) return std::unexpected(std::move(read.error()));
    Customer customer;
    if (*read) {
      const Result<Stored> stored = ParseStored(**read);
      if (!stored) return std::unexpected(stored.error());
      const Result<EventTime> due = CustomerCodec::DueOf(stored->encoded);
      if (!due) return std::unexpected(due.error());
      customer.exists = true;
      customer.due = *due;
      customer.indexed = customer.saved_index = stored->indexed;
      customer.encoded_bytes = static_cast<uint32_t>(stored->encoded.size());
      customer.value = std::move(**read);
    }
    it = customers_.emplace(std::string(id), std::move(customer)).first;
    it->second.id = it->first;
    ring_.push_back(&it->second);
    customers_bytes_ += BytesOf(it->second);
  }
  it->second.used = true;
  return &it->second;
}

void CustomerTable::Prefetch(std::span<const std::string_view> ids) const {
  // Step by step for all of them, since each step needs what the one before has fetched.
  std::array<size_t, kFetchedMax> hashes;
  ids = ids.first(std::min(ids.size(), hashes.size()));
  for (size_t i = 0; i < ids.size(); ++i) {
    hashes[i] = IdHash()(ids[i]);
    customers_.prefetch(Likely{hashes[i]});
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto it = customers_.find(Likely{hashes[i]}, hashes[i]);
    if (it != customers_.end()) Fetch(&*it, sizeof *it);
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto it = customers_.find(ids[i], hashes[i]);
    if (it != customers_.end()) Fetch(it->second.value);
  }
}

Status CustomerTable::Unpack(Customer* customer) {
  if (customer->state != nullptr) {
    slots_[customer->slot].used = true;
    return {};
  }
  const uint8_t number = FreeSlot();
  Slot& slot = slots_[number];
  if (customer->exists) {
    if (Status decoded = codec_.Decode(ParseStored(customer->value)->encoded, &slot.state);
        !decoded)
      return decoded;
  } else {
    slot.state = fresh_;
  }
  slot.owner = customer;
  slot.used = true;
  slot.bytes = sizeof(Slot) + fresh_.measures.size() * sizeof(MeasureState) +
               fresh_.rules.size() * sizeof(RuleState) + kUnpackedPerByte * customer->encoded_bytes;
  unpacked_bytes_ += slot.bytes;
  customer->slot = number;
  customer->state = &slot.state;
  return {};
}

uint8_t CustomerTable::FreeSlot() {
  while (true) {
    const size_t number = slot_hand_++ % slots_.size();
    Slot& slot = slots_[number];
    if (slot.owner != nullptr && std::exchange(slot.used, false)) continue;
    if (slot.owner != nullptr) Pack(slot.owner);
    return static_cast<uint8_t>(number);
  }
}

void CustomerTable::Pack(Customer* customer) {
  if (customer->changed) KeepOutgoing(customer);
  Slot& slot = slots_[customer->slot];
  unpacked_bytes_ -= slot.bytes;
  slot.owner = nullptr;
  slot.bytes = 0;
  if (customer->encoded_bytes > kSlotBytesKept) slot.state = CustomerState();
  customer->state = nullptr;
}

void CustomerTable::KeepOutgoing(Customer* customer) {
  const std::string_view encoded = *Encode(customer);
  // Of an earlier transaction, whose owner did not ask for what has changed (backtest).
  if (customer->transaction != current_) return;
  Outgoing& outgoing = uncommitted_[customer->outgoing];
  const size_t end = outgoing_bytes_.size() + customer->id.size() + encoded.size();
  if (outgoing.again || end > outgoing_bytes_max_) return;
  if (end > outgoing_bytes_.capacity())
    outgoing_bytes_.reserve(std::min(2 * end, outgoing_bytes_max_));
  outgoing.id = static_cast<uint32_t>(outgoing_bytes_.size());
  outgoing_bytes_.insert(outgoing_bytes_.end(), customer->id.begin(), customer->id.end());
  outgoing.value = static_cast<uint32_t>(outgoing_bytes_.size());
  outgoing_bytes_.insert(outgoing_bytes_.end(), encoded.begin(), encoded.end());
  outgoing.end = static_cast<uint32_t>(end);
}

void CustomerTable::PackAll() {
  for (const Slot& slot : slots_) {
    if (slot.owner != nullptr) Pack(slot.owner);
  }
}

// ---- Encoding ----------------------------------------------------------------------------------

template <typename Action>
void CustomerTable::Resize(Customer* customer, const Action& action) {
  const size_t before = BytesOf(*customer);
  action();
  const size_t after = BytesOf(*customer);
  customers_bytes_ += after - before;
  if (customer->unsaved) unsaved_bytes_ += after - before;
}

std::optional<CustomerTable::Change> CustomerTable::Uncommitted(size_t i) {
  if (i >= uncommitted_.size()) return std::nullopt;
  const auto at = [&](size_t n) {
    return uncommitted_[n].IsThere() ? nullptr : uncommitted_[n].customer;
  };
  FetchAhead(uncommitted_.size(), i, at, &Customer::value);
  const Outgoing& outgoing = uncommitted_[i];
  if (!outgoing.IsThere()) return Change{outgoing.customer->id, Encode(outgoing.customer)};
  const std::string_view bytes(outgoing_bytes_.data(), outgoing_bytes_.size());
  return Change{bytes.substr(outgoing.id, outgoing.value - outgoing.id),
                bytes.substr(outgoing.value, outgoing.end - outgoing.value)};
}

std::optional<std::string_view> CustomerTable::Encode(Customer* customer) {
  if (!customer->exists) return std::nullopt;
  if (customer->changed) {
    customer->changed = false;
    const std::string_view encoded = codec_.Encode(*customer->state);
    customer->encoded_bytes = static_cast<uint32_t>(encoded.size());
    const size_t bytes = sizeof(int64_t) + encoded.size();
    if (bytes > customer->value.capacity()) {
      Resize(customer, [&] {
        customer->value = std::string();
        customer->value.reserve(RoomFor(bytes));
      });
    }
    AssignStored(customer->indexed, encoded, &customer->value);
  }
  return ParseStored(customer->value)->encoded;
}

size_t CustomerTable::EncodedBytes(const Customer& customer) {
  return codec_.Encode(*customer.state).size();
}

// ---- Changes -----------------------------------------------------------------------------------

bool CustomerTable::IsStale(const Timer& timer) {
  const auto it = customers_.find(timer.customer);
  if (it == customers_.end()) return false;  // whom it belongs to is found out when it is due
  const Customer& customer = it->second;
  if (customer.indexed == timer.due) return false;
  if (customer.saved_index != timer.due)
    dropped_timers_.push_back(timer);  // left behind by a restore
  return true;
}

bool CustomerTable::IsSettled(const Customer& customer) const {
  return customer.transaction <= committed_ || HB_MUTANT("store-before-commit");
}

void CustomerTable::MarkUnsaved(Customer* customer) {
  if (customer->unsaved) return;
  customer->unsaved = true;
  unsaved_.push_back(customer);
  unsaved_bytes_ += BytesOf(*customer);
}

void CustomerTable::Index(Customer* customer, EventTime due) {
  timers_.Remove({customer->indexed, std::string(customer->id)});
  customer->indexed = due;
  timers_.Add({due, std::string(customer->id)});
  if (!customer->value.empty()) PutIndexed(due, &customer->value);
}

void CustomerTable::MarkChanged(Customer* customer) {
  customer->exists = true;
  customer->changed = true;
  if (customer->transaction != current_) {
    customer->transaction = current_;
    customer->outgoing = static_cast<uint32_t>(uncommitted_.size());
    uncommitted_.push_back({.customer = customer});
  } else if (Outgoing& outgoing = uncommitted_[customer->outgoing]; outgoing.end != 0) {
    outgoing.again = true;
  }
  MarkUnsaved(customer);
  customer->due = customer->state->Due();
  if (customer->due < customer->indexed) Index(customer, customer->due);
}

void CustomerTable::Erase(Customer* customer) {
  *customer->state = fresh_;
  MarkChanged(customer);
  Index(customer, EventTime::Never());
  customer->due = EventTime::Never();
  customer->exists = false;
  customer->changed = false;
  Resize(customer, [&] { customer->value = std::string(); });
}

Result<Customer*> CustomerTable::NextDue(EventTime up_to, size_t mended_max, EventTime* due,
                                         size_t* mended) {
  for (; *mended < mended_max; ++*mended) {
    Result<std::optional<Timer>> first = timers_.First(up_to);
    if (!first) return std::unexpected(std::move(first.error()));
    if (!*first) return nullptr;
    const Timer& entry = **first;
    if (due_fetched_ == 0) {
      next_due_.clear();
      timers_.Next(kFetchedMax, &next_due_);
      Prefetch(next_due_);
      due_fetched_ = next_due_.size();
    }
    --due_fetched_;
    Result<Customer*> found = Lookup(entry.customer);
    if (!found) return found;
    Customer* customer = *found;
    if (customer->indexed == entry.due && customer->due == entry.due) {
      *due = entry.due;
      return Open(customer);
    }
    if (customer->indexed != entry.due) {
      timers_.Remove(entry);
      dropped_timers_.push_back(entry);  // left behind by a restore
      continue;
    }
    // The deadline has moved back since the entry was made. Only the index changes, not the state.
    Index(customer, customer->due);
    MarkUnsaved(customer);
  }
  return nullptr;
}

void CustomerTable::OnProduced() {
  if (pass_ && pass_->next == pass_->customers.size()) {
    if (pass_->waited && copies_.empty()) CopyUnsettled();
    pass_->waited = true;  // most will be settled with this one
  }
  uncommitted_.clear();
  outgoing_bytes_.clear();
  ++current_;
}

// ---- Memory ------------------------------------------------------------------------------------

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
    const bool stays = customer->state != nullptr || customer->unsaved || customer->copied ||
                       customer->transaction > committed_;
    if (stays || customer->used) {
      customer->used = stays && customer->used;
      ring_.push_back(customer);
      continue;
    }
    customers_bytes_ -= BytesOf(*customer);
    customers_.erase(customers_.find(customer->id));
  }
  // The timers alone may take more than a small cache has: no save makes them fewer.
  return memory_bytes() <= cache_bytes_max_ || unsaved() == 0;
}

void CustomerTable::Abandon() {
  // Reachable for ever, so that a checker for leaks sees that it is meant.
  static std::mutex mutex;
  static std::vector<std::unique_ptr<Map>>& abandoned = *new std::vector<std::unique_ptr<Map>>;
  const std::lock_guard lock(mutex);
  abandoned.push_back(std::make_unique<Map>(std::move(customers_)));
}

size_t CustomerTable::memory_bytes() const {
  return customers_bytes_ + unpacked_bytes_ + outgoing_bytes_.capacity() +
         timers_.size() * kTimerBytes;
}

void CustomerTable::AssignStored(EventTime indexed, std::string_view encoded, std::string* value) {
  value->resize(sizeof(int64_t));
  PutIndexed(indexed, value);
  value->append(encoded);
}

void CustomerTable::PutIndexed(EventTime indexed, std::string* value) {
  const int64_t ms = indexed.ms();
  std::memcpy(value->data(), &ms, sizeof ms);
}

Result<CustomerTable::Stored> CustomerTable::ParseStored(std::string_view value) {
  int64_t ms = 0;
  if (value.size() < sizeof ms) return Fail("a stored state is too short", ExitCode::kBroken);
  std::memcpy(&ms, value.data(), sizeof ms);
  return Stored{EventTime(ms), value.substr(sizeof ms)};
}

}  // namespace heartbeatd
