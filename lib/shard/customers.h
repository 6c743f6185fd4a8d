// The customers of a shard: a cache over the store that knows what has changed since the last
// commit and since the last write-behind, and keeps the timer index in step.
//
// A customer in memory is packed, as the store would hold it, except while a transaction that asks
// for it is made up: then it is unpacked, to be worked on. Packed it takes a fraction of the
// memory, lies in one piece, and the bytes that a commit sends are the ones that a save writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "customer/codec.h"
#include "customer/state.h"
#include "rules/ruleset.h"
#include "shard/timers.h"
#include "store/store.h"

namespace heartbeatd {

// One customer in memory. The table owns it; pointers stay good until the next Save() or Trim(),
// its state only until the next call that is not about this customer.
struct Customer {
  std::string_view id;                   // of the table's key
  std::unique_ptr<CustomerState> state;  // unpacked; Find() and NextDue() see to it
  std::string value;                     // as of the last encoding: see StoredValue()
  EventTime indexed =
      EventTime::Never();  // its entry in the timer index; never later than its deadline
  EventTime saved_index = EventTime::Never();  // its entry in the store's index
  uint32_t encoded_bytes =
      0;                     // of the state: as of the last encoding, with room for what came since
  bool exists : 1 = false;   // has a state: false before the first event and after an erasure
  bool changed : 1 = false;  // since the last encoding
  bool uncommitted : 1 = false;  // changed since the last commit
  bool unsaved : 1 = false;      // changed since the last save
  bool used : 1 = false;         // since Trim() last passed by
};

// Not thread-safe: one per shard. Rules and store must outlive it.
class CustomerTable {
 public:
  // `cache_bytes_max`: what customers and their timers may take in memory; see Trim().
  CustomerTable(const RuleSet& rules, CustomerState fresh, Store& store, size_t cache_bytes_max);

  // The customer, unpacked, read from the store if need be; a new one if nobody knows it.
  Result<Customer*> Find(std::string_view id);

  // `*customer->state` has changed: to be committed and saved, and its deadline indexed.
  void MarkChanged(Customer* customer);
  // Forgets the customer; the next commit writes a tombstone.
  void Erase(Customer* customer);

  // The next deadline at or before up_to; its customer. Entries that are out of date are mended on
  // the way. Null: none.
  Result<Customer*> NextDue(EventTime up_to, EventTime* due);

  // The customers to be committed, in the order in which they first changed.
  [[nodiscard]] const std::vector<Customer*>& uncommitted() const { return uncommitted_; }
  // The changelog's value of a customer, good until the customer changes; nothing for an erased
  // one.
  std::optional<std::string_view> Encode(Customer* customer);
  // The length of what Encode() would give if the customer, unpacked, existed and had changed.
  size_t EncodedBytes(const Customer& customer);
  // They are part of a transaction now: what changes from here on belongs to the next one.
  void OnProduced();

  // Writes everything that is committed but not saved, in batches of kSaveBytesMax at most, the
  // last with `local_meta`; then Trim(). Nothing may be uncommitted or part of a transaction that
  // is under way. After an error, or if the process dies in between, the store has customers that
  // are newer than its record, which is what replaying the changelog from there makes of it anyway.
  Status Save(std::string_view local_meta);

  // If too much is in memory, forgets customers whom the store holds, those not used lately first.
  // False: too many are not saved yet, so that only Save() helps.
  bool Trim();

  [[nodiscard]] size_t unsaved() const { return unsaved_.size(); }
  // What the customers and their timers take, in bytes.
  [[nodiscard]] size_t memory_bytes() const;
  // Customers in memory.
  [[nodiscard]] size_t cached() const { return customers_.size(); }
  [[nodiscard]] size_t timers_in_memory() const { return timers_.size(); }
  [[nodiscard]] const CustomerCodec& codec() const { return codec_; }

  // The store's value of a customer: the timer index's entry, then the changelog's value.
  static std::string StoredValue(EventTime indexed, std::string_view encoded);
  struct Stored {
    EventTime indexed;
    std::string_view encoded;
  };
  static Result<Stored> ParseStored(std::string_view value);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view id) const { return std::hash<std::string_view>()(id); }
  };

  static constexpr size_t kSaveBytesMax = 1u << 20;

  Status Unpack(Customer* customer);
  // Packs everybody.
  void PackAll();
  void MarkUnsaved(Customer* customer);
  // Does what changes the length of customer->value.
  template <typename Change>
  void Resize(Customer* customer, const Change& change);
  // Whether the customer of this entry of the store is known to have his elsewhere by now. One that
  // no save would take away is noted in dropped_timers_.
  bool IsStale(const Timer& timer);
  // Appends what the store does not have of this customer.
  static void AddTo(StoreBatch* batch, const Customer& customer);
  Status Write(StoreBatch* batch, const std::vector<Customer*>& written);

  CustomerCodec codec_;
  CustomerState fresh_;
  Store& store_;
  size_t cache_bytes_max_;
  TimerIndex timers_;
  std::unordered_map<std::string, Customer, Hash, std::equal_to<>> customers_;
  // All of them, as a clock: Trim() passes from the front to the back.
  std::deque<Customer*> ring_;
  std::vector<Customer*> unpacked_;
  std::vector<Customer*> uncommitted_;
  std::vector<Customer*> unsaved_;
  std::vector<Timer> dropped_timers_;  // entries of the store that turned out to be out of date
  std::string scratch_;
  // Memory: of customers, packed; of those among them who are not saved; of unpacked states.
  size_t customers_bytes_ = 0;
  size_t unsaved_bytes_ = 0;
  size_t unpacked_bytes_ = 0;
};

}  // namespace heartbeatd
