// Where a shard keeps what it has committed: a cache of the changelog on this machine. One Store is
// one shard's handle; several may share one database. Not thread-safe per handle.
//
// What an error's code says:
//   kTemporary  the disk is full or has erred, or the shard was taken over: worth another try.
//   kBroken     the bytes are damaged. Everything but Wipe() fails from then on, also of handles
//               that are opened later: a store that is wiped can be filled again.
//   kFailed     writing has failed for good: only a new process helps.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace heartbeatd {

// A customer's deadline: when it must be looked at although no event came.
struct Timer {
  EventTime due;
  std::string customer;
  auto operator<=>(const Timer&) const = default;
};

// All that changes together: applied whole or not at all.
struct StoreBatch {
  struct State {
    std::string_view customer;
    std::optional<std::string_view> bytes;  // absent: delete
  };
  std::vector<State> states;
  std::vector<Timer> timers_removed;  // before timers_added
  std::vector<Timer> timers_added;
  // Replaces the shard's own record (position, __meta, ...); empty: that one stays.
  std::string_view local_meta;
};

class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::optional<std::string>> Get(std::string_view customer) = 0;
  // What the newest batch that had one wrote as local_meta; nothing in a new or wiped store.
  virtual Result<std::optional<std::string>> LocalMeta() = 0;

  // The first `limit` timers after `after` in the order of (due, customer).
  virtual Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) = 0;
  // The first `limit` customers after `after` in byte order, with their states.
  virtual Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                             size_t limit) = 0;

  // All or nothing; quickest if states and timers ascend. A handle that has been taken over (the
  // shard was opened again) refuses.
  virtual Status Write(const StoreBatch& batch) = 0;
  // Begins to make what was written survive a killed process; does not wait. (The changelog is the
  // log: what is lost is read again.) A store that is closed in good order loses nothing.
  virtual Status Flush() = 0;
  // Deletes everything of this shard.
  virtual Status Wipe() = 0;

  // The same as Write for a large batch whose states (by customer) and timers_added ascend strictly
  // and whose timers_removed is empty: a rebuild's way to fill a store quickly.
  virtual Status Ingest(const StoreBatch& batch) { return Write(batch); }
  // Shows every customer, in byte order, as of now; `visit` may write. Views live for the call.
  using Visit = std::function<Status(std::string_view customer, std::string_view state)>;
  virtual Status VisitCustomers(const Visit& visit);
};

}  // namespace heartbeatd
