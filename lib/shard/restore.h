// Brings shards back to what was last committed: from the local store and the changelog's tail, or
// from the whole changelog. Reading stops at the end of the log as it was *including* open
// transactions: the last stable offset may be pinned by a predecessor, with committed state beyond
// it.
//
//   kAsking -> kReading -> kDone
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/id.h"
#include "customer/codec.h"
#include "metrics/metrics.h"
#include "shard/io.h"
#include "store/store.h"

namespace heartbeatd {

// Opens the local store of a partition, taking it over from whoever had it in this process.
using StoreOpener = std::function<Result<std::unique_ptr<Store>>(int32_t partition)>;

struct RestoreOptions {
  std::vector<std::string> topics;  // input
  std::string changelog;
  std::string cluster_id;
  bool from_latest = false;        // where a partition that nobody has read begins
  bool accept_lost_input = false;  // go on at the earliest offset where the wanted one is gone
  Duration delete_retention = std::chrono::hours(24) * 7;  // of the changelog
  size_t buffer_bytes_max = 32u << 20;  // read and not yet stored, of all parts together
};

// One shard, restored.
struct Restored {
  int32_t partition = 0;
  std::unique_ptr<Store> store;
  ShardMeta meta;
  Synced synced;
  bool is_new = false;  // nobody has ever committed for it: do so at once
};

// Not thread-safe. Destroying it cancels: nothing of it is left but a store that is further along.
class Restore {
 public:
  // `given_up`: partitions whose local stores are known to be damaged. They are wiped to be
  // rebuilt, and taken from the set; another one whose record is not readable makes Step() fail.
  Restore(RestoreOptions options, const Clock& clock, Metrics& metrics, EventSource& input,
          EventSource& changelog, const StoreOpener& open_store,
          const std::vector<int32_t>& partitions, std::set<int32_t>& given_up);
  ~Restore();

  // Works for about `budget`. True: done, Take() the result. A broker that is away is waited for
  // inside. Error: kBroken for lost changelog data; kTemporary if another Restore may do better
  // (the disk is full).
  Result<bool> Step(Duration budget);
  std::vector<Restored> Take();

  // The partitions of whose local stores not even the record is readable, if that is why Step()
  // failed.
  [[nodiscard]] std::vector<int32_t> Damaged() const;

  // Changelog offsets still to read of each partition.
  [[nodiscard]] std::map<int32_t, uint64_t> Remaining() const;

 private:
  using Buffer =
      absl::flat_hash_map<std::string, std::optional<std::string>, IdHash, std::equal_to<>>;

  struct Part {
    Restored out;
    std::optional<std::string> changelog_id;  // that the local store belongs to
    bool rebuilding = false;                  // the store holds nothing or a part only
    int64_t begin = 0;                        // of the changelog
    int64_t end = 0;                          // read up to here
    int64_t next = 0;                         // to be read
    bool done = false;
    std::optional<int64_t> last_meta;               // offset of the newest record of the shard
    Buffer buffer;                                  // read but not stored: customer, value
    size_t buffer_bytes = 0;                        // what that takes
    std::vector<std::optional<int64_t>> committed;  // of the group, by topic
    std::vector<OffsetRange> input;                 // by topic
  };

  enum class Check { kFine, kStartOver };

  // False: the broker does not answer; try again.
  Result<bool> Ask();
  Status OpenLocal();
  Status BeginLocal(Part* part);
  // `reason`: see Metrics::OnRebuild(). `why`: for the log; empty: nothing to say.
  Status Rebuild(Part* part, std::string_view reason, const std::string& why);
  Status StartReading();
  Status OnRecord(const InputRecord& record);
  Status Spill(Part* part);
  // The newest of a customer, instead of what is buffered of him.
  void Keep(Part* part, std::string_view customer, std::optional<std::string_view> state);
  void ClearBuffer(Part* part);
  Status Finish(Part* part);
  Result<Check> CheckInput(Part* part);
  Result<uint64_t> IndexDeadlines(const Part& part);
  Result<Check> CheckWhole(const Part& part, uint64_t found);
  bool FirstDoubt(const Part& part);
  // Forgets what was read and asks again at the next Step(). Always false: not done.
  bool StartOver();
  Part* Find(int32_t partition);

  RestoreOptions options_;
  const Clock& clock_;
  Metrics& metrics_;
  EventSource& input_;
  EventSource& changelog_;
  const StoreOpener& open_store_;
  std::set<int32_t>& given_up_;
  std::vector<Part> parts_;
  size_t buffered_bytes_ = 0;  // of all parts
  bool reading_ = false;
  Duration began_;
  Duration logged_;
  uint64_t records_ = 0;
  bool start_over_ = false;
  Moment asked_;  // when the ends were asked for: what was read is as of then at the least
  // The changelog's end when a shard's record did not fit the rest, by partition.
  std::map<int32_t, int64_t> doubted_at_;
};

}  // namespace heartbeatd
