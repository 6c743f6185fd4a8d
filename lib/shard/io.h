// The worker's two doors to the broker: EventSource (everything that is read) and Committer
// (everything that a commit does to the outside world). Production implements them over librdkafka
// (lib/kafka); tests and the simulation over fakes. The protocol itself (what is called when, and
// what happens on failure) lives above them, in worker.cc, restore.cc and transaction.cc.
//
// Nothing here is thread-safe: one worker thread owns one source, one changelog source and one
// committer.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/time.h"

namespace heartbeatd {

struct TopicPartition {
  std::string topic;
  int32_t partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
};

// The next offset to read of a partition.
struct Position {
  TopicPartition at;
  int64_t offset = 0;
  auto operator<=>(const Position&) const = default;
};

struct Header {
  std::string key;
  std::string value;
};

// One message. Move-only; `key` and `payload` live as long as it does.
struct InputRecord {
  using Handle = std::unique_ptr<void, void (*)(void*)>;

  std::string_view topic;  // lives as long as the source
  int32_t partition = 0;
  int64_t offset = 0;
  std::optional<std::string_view> key;
  std::optional<std::string_view> payload;  // absent: a tombstone
  Handle handle{nullptr, [](void*) {}};     // keeps the views alive
  std::vector<Header> (*read_headers)(const void* handle) = nullptr;

  [[nodiscard]] std::vector<Header> Headers() const {
    return read_headers != nullptr ? read_headers(handle.get()) : std::vector<Header>{};
  }
};

// What the group said about us when it last assigned partitions: member and generation. A commit
// that carries an old one is refused by the broker, which is what fences zombies. Opaque.
using GroupGeneration = std::shared_ptr<const void>;

struct Polled {
  enum class Kind {
    kNothing,
    kRecord,            // record
    kEndOfPartition,    // at: everything before at.offset has been delivered (control records
                        // counted). Comes once each time the end is reached, not while it stays
                        // there.
    kAssigned,          // partitions, generation: nothing is delivered until Start()
    kRevoked,           // partitions (all of ours): commit or abort, then Stop(), then poll on
    kLost,              // partitions: already somebody else's; abort, never commit, then Stop()
    kOffsetOutOfRange,  // at: the wanted offset is gone; error says which range exists
    kFencedInstance,    // another member has our group.instance.id, or a frozen broker made it look
                        // so
    kFailed,            // error: this client is of no more use; Reopen()
  };
  Kind kind = Kind::kNothing;
  InputRecord record;
  Position at;
  std::vector<TopicPartition> partitions;
  GroupGeneration generation;
  Error error;
};

struct OffsetRange {
  int64_t begin = 0;
  int64_t end = 0;  // the high watermark, read_uncommitted: open transactions included
};

// The answer of the newest probe of a partition's end.
struct ConfirmedEnd {
  int64_t end = 0;  // high watermark, read_uncommitted
  Moment asked;     // noted before the question was sent
};

// Reads partitions: as a member of the consumer group (the input), or by assignment only (the
// changelog).
class EventSource {
 public:
  virtual ~EventSource() = default;

  // At most one thing; waits up to `timeout` for it. Must be called often (max.poll.interval).
  // Messages below a position given to Start() are never delivered.
  virtual Polled Poll(Duration timeout) = 0;

  // Delivers exactly these partitions from these offsets on, replacing what was delivered before.
  // In a group: legal only between kAssigned and the next kRevoked or kLost.
  virtual Status Start(const std::vector<Position>& positions) = 0;

  // Delivers nothing any more. In a group: gives the partitions back after kRevoked or kLost.
  virtual Status Stop() = 0;

  // The group's committed offset of each partition, waiting for transactions that may still change
  // it ("stable"); nothing where there is none. Group sources only.
  virtual Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& of, Duration timeout) = 0;

  // Begin and end of each partition, asked now.
  virtual Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                                   Duration timeout) = 0;

  // The newest answer of the process's prober for a started partition; nothing while there is none
  // newer than Start(). Never blocks.
  virtual std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& of) = 0;

  // False while we are not (or no longer) a member: then nothing may be committed.
  virtual bool IsMember() = 0;

  // Destroys the client and makes a new one under the same ids. Everything assigned is gone.
  virtual Status Reopen() = 0;
};

struct OutputRecord {
  std::string_view topic;
  std::optional<int32_t> partition;  // absent: chosen by the key, as Java clients do (murmur2)
  std::optional<std::string_view> key;
  std::optional<std::string_view> value;  // absent: a tombstone
  const std::vector<Header>* headers = nullptr;
};

struct TxResult {
  enum class Kind {
    kOk,
    kAbort,      // this transaction cannot commit: Abort() and start over from __meta
    kAmbiguous,  // the producer is fatally broken or nobody knows what was decided: Open() anew,
                 // re-sync
    kFenced,     // a newer producer or member has taken over
  };
  Kind kind = Kind::kOk;
  Error error;
  // kAbort: one of the records is at fault (too large, malformed): trying again will not help.
  bool bad_record = false;
  [[nodiscard]] bool ok() const { return kind == Kind::kOk; }
};

// A transactional producer. Calls come in the order Open, then Begin, Produce*, Flush, SendOffsets,
// Commit | Abort, and so on. Retriable errors are retried inside, within bounds.
class Committer {
 public:
  virtual ~Committer() = default;

  // (Re-)creates the producer: a new epoch, so whatever an earlier one left open is aborted. Blocks
  // up to the transaction timeout while the coordinator finishes such leftovers.
  virtual Status Open() = 0;

  virtual TxResult Begin() = 0;
  virtual TxResult Produce(const OutputRecord& record) = 0;
  // Waits until every record is acknowledged.
  virtual TxResult Flush() = 0;
  // The highest offset that this transaction wrote to the changelog's partition; after Flush().
  virtual std::optional<int64_t> ChangelogOffset(int32_t partition) = 0;
  virtual TxResult SendOffsets(const std::vector<Position>& next,
                               const GroupGeneration& generation) = 0;
  virtual TxResult Commit() = 0;
  virtual TxResult Abort() = 0;
};

}  // namespace heartbeatd
