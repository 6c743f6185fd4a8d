// The customers of a shard: a cache over the store that knows what has changed since the last
// commit and since the last write-behind, and keeps the timer index in step.
//
// A customer in memory is packed, as the store would hold it: in a fraction of the memory, in one
// piece, in the bytes that a commit sends and a save writes. To be worked on he is unpacked into
// one of a few slots, which keep their memory: the next customer who needs one drives out the one
// who was not used for longest.
//
// Writing behind goes on beside the work, in passes. A pass writes everybody who was not saved when
// it began, each as of some commit at or after that, and then the shard's record as of its
// beginning: replaying the changelog from there leads to the same, whatever is newer already.
#pragma once

#include <absl/container/node_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/id.h"
#include "customer/codec.h"
#include "customer/state.h"
#include "rules/ruleset.h"
#include "shard/timers.h"
#include "store/store.h"

namespace heartbeatd {

// One customer in memory. The table owns it; pointers stay good until the next Save() or Trim(),
// its state only until the next call that is not about this customer.
struct Customer {
  std::string_view id;                 // of the table's key
  CustomerState* state = nullptr;      // unpacked; Find() and NextDue() see to it
  std::string value;                   // as of the last encoding: see AssignStored()
  EventTime due = EventTime::Never();  // as of the last change
  EventTime indexed =
      EventTime::Never();  // its entry in the timer index; never later than its deadline
  EventTime saved_index = EventTime::Never();  // its entry in the store's index
  uint32_t transaction = 0;    // the one with the newest change; see CustomerTable::IsSettled
  uint32_t outgoing = 0;       // his place among its customers
  uint32_t encoded_bytes = 0;  // of the state: as of the last encoding, with room for what came
                               // since
  uint8_t slot = 0;            // of `state`
  bool exists : 1 = false;     // has a state: false before the first event and after an erasure
  bool changed : 1 = false;    // since the last encoding
  bool unsaved : 1 = false;    // changed since it was last saved
  bool copied : 1 = false;     // waits to be saved as of the transaction that is under way
  bool used : 1 = false;       // since Trim() last passed by
};

// Not thread-safe: one per shard. Rules and store must outlive it.
class CustomerTable {
 public:
  // `cache_bytes_max`: what customers and their timers may take in memory; see Trim().
  CustomerTable(const RuleSet& rules, CustomerState fresh, Store& store, size_t cache_bytes_max);

  // The customer, unpacked, read from the store if need be; a new one if nobody knows it.
  Result<Customer*> Find(std::string_view id);
  // Makes the next Find() of these customers, kFetchedMax at most, who are in memory as a rule,
  // wait less for it. Does nothing else. A miss takes as long as most of the work on a message,
  // several at a time hardly longer.
  void Prefetch(std::span<const std::string_view> ids) const;
  static constexpr size_t kFetchedMax = 16;

  // `*customer->state` has changed: to be committed and saved, and its deadline indexed.
  void MarkChanged(Customer* customer);
  // Forgets the customer; the next commit writes a tombstone.
  void Erase(Customer* customer);

  // The next deadline at or before up_to; its customer. Null: none. Entries that are out of date
  // are mended on the way, each with a read of the store if need be; their number is added to
  // *mended, and once it is mended_max the answer is null, too: there may be more.
  Result<Customer*> NextDue(EventTime up_to, size_t mended_max, EventTime* due, size_t* mended);

  // How many customers are to be committed.
  [[nodiscard]] size_t uncommitted() const { return uncommitted_.size(); }
  // What the changelog is to have of one.
  struct Change {
    std::string_view id;
    std::optional<std::string_view> value;  // nothing: he is erased
  };
  // That of the i-th of them, in the order in which they first changed; nothing behind the last.
  // Good until the next call of anything here.
  std::optional<Change> Uncommitted(size_t i);
  // The changelog's value of a customer, good until the customer changes; nothing for an erased
  // one.
  std::optional<std::string_view> Encode(Customer* customer);
  // The length of what Encode() would give if the customer, unpacked, existed and had changed.
  size_t EncodedBytes(const Customer& customer);
  // They are part of a transaction now: what changes from here on belongs to the next one. One
  // transaction is under way at a time.
  void OnProduced();
  // That transaction is committed.
  void OnCommitted() { committed_ = current_ - 1; }

  // Begins a pass: `local_meta` is the shard's record as of the last commit. A pass that is under
  // way goes on as part of the new one.
  void BeginSave(std::string local_meta);
  // Between BeginSave() and the last SaveSome().
  [[nodiscard]] bool IsSaving() const { return pass_ != nullptr; }
  // Writes some of the pass, a batch of kSaveBytesMax at most, and with its last batch the record.
  // Whoever is not settled waits for the next commits. After an error everything is still in place
  // for the next attempt. If the process dies on the way, the store has customers that are newer
  // than its record, which is what replaying the changelog from there makes of them anyway.
  Status SaveSome();
  // Begins a pass and ends it. Everybody must be settled.
  Status Save(std::string local_meta);

  // If too much is in memory, forgets customers whom the store holds, those not used lately first.
  // False: too many are not saved yet, so that only Save() helps.
  bool Trim();

  // For the end of the process: the customers are gone from here, and their memory is never given
  // back. That of millions, piece by piece, takes longer than anybody waits for a stop.
  void Abandon();

  // Customers who are not saved; how many of them belong to the pass under way.
  [[nodiscard]] size_t unsaved() const { return unsaved_.size() + left_in_pass(); }
  [[nodiscard]] size_t left_in_pass() const {
    return pass_ ? pass_->customers.size() - pass_->next + pass_->unsettled.size() + copies_.size()
                 : 0;
  }
  // What was handed to the store so far: customers and timers, keys included.
  [[nodiscard]] uint64_t saved_bytes() const { return saved_bytes_; }
  // What the customers and their timers take, in bytes.
  [[nodiscard]] size_t memory_bytes() const;
  // Customers in memory.
  [[nodiscard]] size_t cached() const { return customers_.size(); }
  [[nodiscard]] size_t timers_in_memory() const { return timers_.size(); }
  [[nodiscard]] const CustomerCodec& codec() const { return codec_; }

  // The store's value of a customer: the timer index's entry, then the changelog's value.
  static void AssignStored(EventTime indexed, std::string_view encoded, std::string* value);
  // The entry alone, into such a value.
  static void PutIndexed(EventTime indexed, std::string* value);
  struct Stored {
    EventTime indexed;
    std::string_view encoded;
  };
  static Result<Stored> ParseStored(std::string_view value);

 private:
  // Whoever is found first by his hash alone: he is asked for, as a rule, and need not be in the
  // processor's cache for that.
  struct Likely {
    size_t hash;
  };
  struct Hash : IdHash {
    using IdHash::operator();
    size_t operator()(Likely likely) const { return likely.hash; }
  };
  // An Abseil newer than 20220623 checks in a debug build that who is equal has the same hash,
  // which somebody else with the same seven bits of it has not.
  struct Equal : std::equal_to<> {
    using std::equal_to<>::operator();
    bool operator()(std::string_view /*id*/, Likely /*likely*/) const { return true; }
  };
  using Map = absl::node_hash_map<std::string, Customer, Hash, Equal>;

  static constexpr size_t kSaveBytesMax = 256u << 10;
  static constexpr size_t kSlots = 8;
  // A slot that has held a larger state (encoded) gives its memory back.
  static constexpr size_t kSlotBytesKept = 4096;

  // A customer to be committed. What he became when he was packed for the first time lies in
  // outgoing_bytes_, as far as there was room: a commit reads all of those one after the other,
  // where the customers themselves would have to be fetched from memory once more.
  struct Outgoing {
    Customer* customer;
    bool again = false;  // he has changed since then
    uint32_t id = 0;     // in outgoing_bytes_,
    uint32_t value = 0;  // right behind it,
    uint32_t end = 0;    // of that; 0: it does not lie there
    [[nodiscard]] bool IsThere() const { return end != 0 && !again; }
  };
  struct Slot {
    CustomerState state;
    Customer* owner = nullptr;
    size_t bytes = 0;   // estimated
    bool used = false;  // since the search for a free one last passed by
  };
  // A customer as of the transaction that was produced when the pass wanted him.
  struct Copy {
    Customer* customer;
    EventTime indexed;
    bool exists;
    std::string value;
  };
  struct Pass {
    std::string local_meta;
    std::vector<Customer*> customers;  // in the order of their ids
    size_t next = 0;                   // of those
    std::vector<Customer*> unsettled;  // passed by: part of a transaction just then
    bool waited = false;               // for the end of one, with only those left
    std::vector<Timer> dropped_timers;
  };

  // What he takes in memory.
  static size_t BytesOf(const Customer& customer);
  // Customer, packed; read from the store if need be.
  Result<Customer*> Lookup(std::string_view id);
  Status Unpack(Customer* customer);
  // Unpacks within what unpacked states may take.
  Result<Customer*> Open(Customer* customer);
  // Puts the state back among the bytes and frees its slot.
  void Pack(Customer* customer);
  // For the commit, if there is room.
  void KeepOutgoing(Customer* customer);
  void PackAll();
  // A slot that is free now.
  uint8_t FreeSlot();
  // All that has happened to him is committed.
  [[nodiscard]] bool IsSettled(const Customer& customer) const;
  void MarkUnsaved(Customer* customer);
  void Index(Customer* customer, EventTime due);
  // Does what changes the length of customer->value.
  template <typename Action>
  void Resize(Customer* customer, const Action& action);
  // Whether the customer of this entry of the store is known to have his elsewhere by now. One that
  // no save would take away is noted in dropped_timers_.
  bool IsStale(const Timer& timer);
  // Appends what the store does not have of this customer.
  static void AddTo(StoreBatch* batch, const Customer& customer, EventTime indexed,
                    std::optional<std::string_view> value);
  void CopyUnsettled();
  Status SaveDroppedTimers();
  Status SaveCopies();
  Status Write(StoreBatch* batch);
  void EndPass();

  CustomerCodec codec_;
  CustomerState fresh_;
  Store& store_;
  size_t cache_bytes_max_;
  size_t save_bytes_max_;
  TimerIndex timers_;
  size_t due_fetched_ = 0;                  // so many of the next deadlines' customers are
  std::vector<std::string_view> next_due_;  // scratch
  Map customers_;
  // All of them, as a clock: Trim() passes from the front to the back.
  std::deque<Customer*> ring_;
  std::vector<Slot> slots_;
  size_t slot_hand_ = 0;
  std::vector<Outgoing> uncommitted_;
  std::vector<char> outgoing_bytes_;
  size_t outgoing_bytes_max_;
  uint32_t current_ = 1;            // transaction that changes belong to
  uint32_t committed_ = 0;          // newest one that is committed
  std::vector<Customer*> unsaved_;  // but for those of the pass
  std::unique_ptr<Pass> pass_;
  std::vector<Copy> copies_;
  uint32_t copied_in_ = 0;             // the transaction that copies_ are as of
  std::vector<Timer> dropped_timers_;  // entries of the store that turned out to be out of date
  // Memory: of customers, packed; of those among them who are not saved; of unpacked states.
  size_t customers_bytes_ = 0;
  size_t unsaved_bytes_ = 0;
  size_t unpacked_bytes_ = 0;
  uint64_t saved_bytes_ = 0;
};

}  // namespace heartbeatd
