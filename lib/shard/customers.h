// The customers of a shard: a cache over the store that knows what has changed since the last
// commit and since the last write-behind, and keeps the timer index in step.
//
// A customer is in one of four places: ready to work on; packed, as the store would hold it, not
// yet saved; packed and saved, which takes a fraction of the memory and is far quicker to get at
// than the store; or only in the store.
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

// One customer in memory. The table owns it; pointers stay good until the next Save() or Trim().
struct Customer {
  std::string_view id;  // of the table's key
  CustomerState state;
  bool exists = false;       // has a state: false before the first event and after an erasure
  bool uncommitted = false;  // changed since the last commit
  bool unsaved = false;      // changed since the last save
  EventTime indexed =
      EventTime::Never();  // its entry in the timer index; never later than its deadline
  EventTime saved_index = EventTime::Never();  // its entry in the store's index
  size_t encoded_bytes = 0;                    // as of the last encoding
  size_t memory_bytes = 0;                     // as of the last transaction
  uint64_t used = 0;                           // period (from trim to trim) of the last use
};

// Not thread-safe: one per shard. Rules and store must outlive it.
class CustomerTable {
 public:
  // `cache_bytes_max`: what customers and their timers may take in memory; see Trim().
  CustomerTable(const RuleSet& rules, CustomerState fresh, Store& store, size_t cache_bytes_max);

  // The customer, read from the store if need be; a new one if nobody knows it.
  Result<Customer*> Find(std::string_view id);

  // `customer->state` has changed: to be committed and saved, and its deadline indexed.
  void MarkChanged(Customer* customer);
  // Forgets the customer; the next commit writes a tombstone.
  void Erase(Customer* customer);

  // The next deadline at or before up_to; its customer. Entries that are out of date are mended on
  // the way. Null: none.
  Result<Customer*> NextDue(EventTime up_to, EventTime* due);

  // The customers to be committed, in the order in which they first changed.
  [[nodiscard]] const std::vector<Customer*>& uncommitted() const { return uncommitted_; }
  // The changelog's value of a customer; nothing for an erased one.
  std::optional<std::string_view> Encode(Customer* customer);
  // They are part of a transaction now: what changes from here on belongs to the next one.
  void OnProduced();

  // Writes everything that is committed but not saved, in batches of kSaveBytesMax at most, the
  // last with `local_meta`; then Trim(). Nothing may be uncommitted or part of a transaction that
  // is under way. After an error, or if the process dies in between, the store has customers that
  // are newer than its record, which is what replaying the changelog from there makes of it anyway.
  Status Save(std::string_view local_meta);

  // If too much is in memory, packs customers, and forgets packed ones that the store holds. False:
  // too many are not saved yet, so that only Save() helps.
  bool Trim();

  [[nodiscard]] size_t unsaved() const { return unsaved_.size() + packed_unsaved_.size(); }
  // What the customers take, in bytes, as of the last transaction.
  [[nodiscard]] size_t memory_bytes() const {
    return ready_bytes_ + packed_unsaved_bytes_ + packed_bytes_ + packed_before_bytes_;
  }
  // Customers in memory, ready or packed.
  [[nodiscard]] size_t cached() const {
    return customers_.size() + packed_unsaved_.size() + packed_.size() + packed_before_.size();
  }
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
  template <typename Value>
  using MapOf = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;
  using Map = MapOf<std::unique_ptr<Customer>>;
  // Committed, not saved.
  struct Unsaved {
    std::string value;  // see StoredValue()
    EventTime saved_index;
  };
  // What a save writes of one customer: one of the two is there.
  struct ToSave {
    std::string_view id;
    Customer* ready = nullptr;
    Unsaved* packed = nullptr;
  };

  static constexpr size_t kSaveBytesMax = 1u << 20;

  // Counts the customer as it is now.
  void Weigh(Customer* customer);
  // Puts the customer, who is in no transaction, away. Nothing happens to one of whom only a
  // tombstone is left to save. Returns what follows it in customers_.
  Map::iterator Pack(Map::iterator at);
  // The store's value of a packed customer, who is packed no longer; nothing if there is none.
  std::optional<std::string> Unpack(std::string_view id, bool* unsaved, EventTime* saved_index);
  void KeepPacked(std::string id, std::string value);
  // Whether the customer of this entry of the store is known to have his elsewhere by now. One that
  // no save would take away is noted in dropped_timers_.
  bool IsStale(const Timer& timer);
  // Appends what the store does not have of this customer. Returns the bytes of its state.
  size_t AddTo(StoreBatch* batch, std::deque<std::string>* values, const ToSave& one);
  Status Write(StoreBatch* batch, const std::vector<ToSave>& written);

  CustomerCodec codec_;
  CustomerState fresh_;
  Store& store_;
  size_t cache_bytes_max_;
  size_t ready_bytes_ = 0;
  size_t packed_unsaved_bytes_ = 0;
  size_t packed_bytes_ = 0;
  size_t packed_before_bytes_ = 0;
  TimerIndex timers_;
  Map customers_;
  MapOf<Unsaved> packed_unsaved_;
  // Packed and saved, in two generations: who is not asked for while the newer one fills goes with
  // the older.
  MapOf<std::string> packed_, packed_before_;
  std::vector<Customer*> uncommitted_;
  std::vector<Customer*> unsaved_;
  std::vector<Timer> dropped_timers_;  // entries of the store that turned out to be out of date
  uint64_t period_ = 1;
  std::string scratch_;
};

}  // namespace heartbeatd
