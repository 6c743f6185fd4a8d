// THE loop. A worker is one thread with one group consumer, one transactional producer, and the
// shards of the partitions assigned to it; there are no locks inside. Everything here runs over the
// seams of io.h, store.h and clock.h, so that tests and the simulation drive the production code.
//
//   kJoining --assigned--> kRestoring --restored--> kRunning
//      ^                       ^   |                   |  |
//      |                       |   '---- revoked, lost -'  |
//      |                       '---------- re-sync --------'   (a commit failed: back to __meta)
//      '------------------- revoked, lost, fenced ------------
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "metrics/metrics.h"
#include "shard/commit_schedule.h"
#include "shard/io.h"
#include "shard/restore.h"
#include "shard/shard.h"
#include "shard/transaction.h"
#include "shard/write_behind.h"

namespace heartbeatd {

struct WorkerOptions {
  std::string name;    // for the log: "worker 0"
  ShardOptions shard;  // of every shard; `partition` is filled in
  RestoreOptions restore;
  OutputTopics topics;
  CommitScheduleOptions commits;
  WriteBehindOptions write_behind;
  size_t cache_bytes_max = 64u << 20;  // for the customers of all shards of the worker
  // Where a commit waits for the broker while the worker goes on with the next events.
  CommitTail::Where commit_tail = CommitTail::Where::kOwnThread;
};

// What a worker may use; all of it outlives the worker.
struct WorkerParts {
  const Clock& clock;
  Metrics& metrics;
  EventSource& input;
  EventSource& changelog;
  Committer& committer;
  StoreOpener open_store;
};

// Not thread-safe, except that the process's metrics may be read meanwhile.
class Worker {
 public:
  enum class Phase : uint8_t { kJoining, kRestoring, kRunning };

  Worker(WorkerOptions options, WorkerParts parts);

  // One round: 1 poll, 2 restore, 3 process, 4 commit, 5 write behind. Waits for messages at most
  // `wait`. A commit waits for the broker in the background: the events of the next one are applied
  // meanwhile, but it does not begin before the one before has ended. Error: the process must end
  // with its code.
  Status Step(Duration wait);

  // Commits what is done and writes it behind, as far as ten seconds allow; for SIGTERM. Takes no
  // new messages.
  Status Stop();
  // After Stop(), at the end of the process: see CustomerTable::Abandon(). Only destroying the
  // worker may follow.
  void Abandon();

  [[nodiscard]] Phase phase() const { return phase_; }
  // Running, and each of its shards has a record in the changelog: whatever dies from here on,
  // where a shard begins to read is settled.
  [[nodiscard]] bool IsReady() const { return phase_ == Phase::kRunning && !first_record_open_; }
  [[nodiscard]] const std::map<int32_t, std::unique_ptr<Shard>>& shards() const { return shards_; }

 private:
  static constexpr int kFencedMax = 3;  // within kFencedWithin: then somebody else has our name
  static constexpr Duration kFencedWithin = std::chrono::minutes(1);
  // Local state that is damaged is rebuilt so many times, then something else is wrong.
  static constexpr size_t kRebuildsMax = 3;
  static constexpr Duration kRebuildsWithin = std::chrono::hours(1);
  static constexpr Duration kReportEvery = std::chrono::milliseconds(250);
  // Few enough that they are still in the processor's cache when their turn comes.
  static constexpr size_t kPollBatch = 256;
  // Messages that may queue up for all shards together, uncounted in memory.
  static constexpr size_t kBufferedMax = 4000;

  // 1. Poll.
  Status Poll(Duration wait);
  // The next transaction has as many events or bytes as it may.
  [[nodiscard]] bool IsFull() const { return IsFull(UncommittedBytes()); }
  // The same, by whoever knows UncommittedBytes().
  [[nodiscard]] bool IsFull(size_t uncommitted_bytes) const;
  // What it takes in the producer, about: a customer as much as a record of the last transaction.
  [[nodiscard]] size_t UncommittedBytes() const;
  [[nodiscard]] size_t UncommittedBytes(Shard& shard) const;
  // The next transaction is full, or too much waits for a crowded shard: there is nothing to do
  // before the transaction that is under way has ended. Messages that are taken all the same weigh
  // on memory, uncounted.
  [[nodiscard]] bool MustWait() const;
  // Enough messages are taken: transactions that timers fill use them up slowly. Of several topics
  // one may have to be read on for the sake of another (Intake::kBufferedMax).
  [[nodiscard]] bool HasPlenty() const;
  Status OnPolled(Polled polled);
  Status OnAssigned(Polled polled);
  Status OnRevoked();
  Status OnLost(const std::string& why);
  Status OnFencedInstance();
  // 2. Restore.
  Status StepRestore();
  // 3. Process.
  Status Process();
  // 4. Commit.
  [[nodiscard]] bool CommitIsDue() const;
  Status StartCommit();
  // Takes the result of the commit under way, if there is one within `wait`.
  Status LookAtCommit(Duration wait);
  // Everything is committed or thrown away after it.
  Status CommitAndWait();
  Status OnCommitEnded(const TransactionResult& ended);
  Status OnCommitFailed(const TxResult& failed);
  bool NarrowDown(size_t units);
  // The result of a commit under way that no longer matters.
  void ForgetCommit();
  Status OnProducerFenced(const Error& error);
  Status Strike(const std::string& why);
  // Throws away everything that is not committed and goes back to __meta.
  Status Resync();
  // 5. Write behind.
  Status StepWriteBehind();
  Status OnRestoreFailed(const Error& error);
  // What the local store's failure means for the process. `partition` of the shard.
  Status OnStoreFailed(int32_t partition, const Error& error);
  // The local store takes nothing more before the process is another one.
  static Status StartAgain(const Error& error);
  Status OnDamaged(const std::vector<int32_t>& partitions, const Error& why);
  Status PauseIntake(const Error& why);
  Status ResumeIntake();

  void DropShards();
  void Report();
  [[nodiscard]] size_t TopicIndex(std::string_view topic) const;
  [[nodiscard]] std::vector<Shard*> Changed();

  WorkerOptions options_;
  WorkerParts parts_;
  Phase phase_ = Phase::kJoining;
  bool committer_open_ = false;
  GroupGeneration generation_;
  std::vector<int32_t> partitions_;
  std::unique_ptr<Restore> restore_;
  std::map<int32_t, std::unique_ptr<Shard>> shards_;
  std::map<int32_t, ShardCounters> reported_;

  // The commit under way, if tail_ is running.
  struct Commit {
    std::vector<Shard*> shards;
    std::vector<std::vector<int64_t>> next;  // offsets by topic, of each shard
    std::map<std::tuple<size_t, AlertStatus, Reason>, uint64_t> alerts;
    std::map<DeadLetterReason, uint64_t> dead_letters;
    Moment began;
    uint64_t records = 0;
    size_t units = 0;
  };
  CommitTail tail_;
  Commit commit_;
  [[nodiscard]] Commit Describe(const std::vector<Shard*>& shards) const;
  // In the metrics: how it ended, and what it has sent if it was committed.
  void Count(const Commit& commit, const TxResult& result);

  CommitSchedule schedule_;
  WriteBehind write_behind_;
  bool first_record_open_ = false;  // some shard is new, and its first record is not committed yet
  size_t units_ = 0;                // messages and timers since the last commit
  size_t change_bytes_ = 600;       // that a record of the last one took on average
  bool work_left_ = false;          // the last round stopped at its limit
  Duration last_report_{0};
  Duration last_end_check_{0};
  bool intake_paused_ = false;  // a write-behind failed: nothing is taken until one succeeds
  Duration retry_save_at_{0};
  size_t turn_ = 0;  // which shard goes first

  // After failures: transactions shrink until the message that breaks them is found.
  size_t units_max_;
  int failures_ = 0;  // in a row
  std::map<int32_t, std::vector<int64_t>>
      committed_next_;  // next offsets by topic, as of the last commit
  Duration resume_at_{0};
  std::vector<Duration> strikes_;
  std::map<int32_t, std::vector<Duration>> rebuilds_;  // of damaged stores
  std::set<int32_t> given_up_;                         // whose stores the next Restore rebuilds
  std::map<int32_t, std::vector<std::pair<size_t, int64_t>>> poison_;
};

}  // namespace heartbeatd
