// When a worker writes which of its shards behind, and how fast: a pass of one shard at a time, a
// batch of it in a round of the worker, and no more than its share of the worker's time. Only what
// is committed is written, and under load there is always something that is not yet: passes go on
// beside the work (CustomerTable). What a failure means for the process is for the worker to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "customer/codec.h"
#include "metrics/metrics.h"
#include "shard/shard.h"

namespace heartbeatd {

struct WriteBehindOptions {
  // The least time between two passes of a shard, unless unsaved_max customers of all shards wait:
  // after a kill they are what is read again. A pass stretches, up to interval_max, so that writing
  // takes no more than a twentieth of the time, or an eighth if twice as many wait.
  Duration interval = std::chrono::seconds(5);
  Duration interval_max = std::chrono::seconds(30);
  size_t unsaved_max = 50'000;
  // How often what was written is made to survive the process.
  Duration store_flush_interval = std::chrono::seconds(30);
};

// Times are of the monotonic clock. Not thread-safe: it belongs to one worker. Clock and metrics
// must outlive it; shards are their owner's, who calls Clear() before they go.
class WriteBehind {
 public:
  enum class Pace : uint8_t {
    kHold,    // no pass begins
    kSteady,  // they begin when it is time for them, and take their share of it
    kHurry,   // one follows the other without a pause: everything waits for one to succeed
  };
  // A shard whose store has failed, and the store's error. Unless that one says that the store is
  // of no more use, everything is in place for the next round to try again.
  struct Failure {
    int32_t partition;
    Error error;
  };
  struct Round {
    bool pass_ended = false;         // everything of it is in the store, though perhaps not flushed
    std::optional<Failure> failure;  // counts for more than that: nothing is well before it is over
  };

  WriteBehind(WriteBehindOptions options, std::string cluster_id, const Clock& clock,
              Metrics& metrics);

  // A shard as it was restored. `synced`: of everything that is committed of it.
  void Add(Shard* shard, const Synced& synced);
  // `partition`: of a shard that was added.
  void OnCommitted(int32_t partition, const Synced& synced);
  // Forgets all shards.
  void Clear();

  // One round. Lets go of customers whom the shards have no room for (CustomerTable::Trim()); then
  // begins a pass, if it is time for one, and writes a batch, if it is time for that; then flushes
  // the stores, if they are due. At any pace the pass under way goes on.
  Round Step(Pace pace);
  // A pass as a whole, of a settled shard that was added. Stops at `until`, which is no error: who
  // is not saved yet is among the shard's customers().unsaved(). Error: the store's; who is not
  // saved waits for the next pass.
  Status SaveAll(Shard* shard, Duration until);
  // What was written of it survives the process. Error: the store's.
  Status Flush(Shard* shard);

  // Those that have more in memory than they may, most of it not saved, as of the last Step(): they
  // should take nothing new.
  [[nodiscard]] const std::vector<const Shard*>& crowded() const { return crowded_; }
  [[nodiscard]] bool IsCrowded(const Shard* shard) const;

 private:
  struct Entry {
    Shard* shard;
    Synced synced;      // of everything committed
    Duration saved_at;  // the end of its last pass
  };

  struct Pass {
    Entry* entry;
    size_t customers;
    uint64_t bytes_before;  // handed to the store before it
    Duration took{0};       // so far
  };

  // The shard whose pass is to begin; null: none.
  [[nodiscard]] Entry* Due(Duration now, Pace pace);
  Pass Begin(Entry* entry);
  // Of a pass whose last batch is written. Returns how many bytes it has handed to the store.
  uint64_t End(const Pass& pass, Duration now);
  Status SaveSome(Duration now, Pace pace, bool* ended);
  // Customers of all shards who are not in the store as they are here.
  [[nodiscard]] size_t Unsaved() const;

  WriteBehindOptions options_;
  std::string cluster_id_;
  const Clock& clock_;
  Metrics& metrics_;
  std::map<int32_t, Entry> entries_;  // by partition
  std::vector<const Shard*> crowded_;
  Duration flush_at_;         // all stores
  Duration on_at_{0};         // no batch before it
  std::optional<Pass> pass_;  // under way
};

}  // namespace heartbeatd
