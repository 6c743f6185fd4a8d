// One commit of a worker: everything that its shards have done since the last one, in one Kafka
// transaction {alerts, dead letters, changelog, offsets}. Steps 2 to 5 of the commit protocol
// (docs/architecture.md); what follows from the result is the worker's to do.
//
// It comes in two parts. ProduceShards() reads the shards and hands copies to the producer; the
// shards may change as soon as it is done. FinishTransaction() waits for the broker, and may do so
// in a thread of its own (CommitTail) while the worker goes on with the next events.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "shard/io.h"
#include "shard/shard.h"

namespace heartbeatd {

struct OutputTopics {
  std::string alerts;
  std::string dead_letters;
  std::string changelog;
  bool dead_letter_payload = false;
};

// A transaction whose records are with the producer.
struct Produced {
  uint64_t records = 0;
  uint64_t bytes = 0;               // of their keys and values
  std::vector<int32_t> partitions;  // of the shards
  std::vector<Position> offsets;    // what it says of the input
};

struct TransactionResult {
  TxResult result;
  std::vector<int64_t> positions;  // kOk: next changelog offset, parallel to Produced::partitions
};

// Begins a transaction and puts into it what `shards` have done, whose states it only reads. On
// anything but kOk the transaction may still be open.
TxResult ProduceShards(const std::vector<Shard*>& shards, const OutputTopics& topics,
                       Committer& committer, Produced* produced);
// Waits for the records, sends the offsets, commits. On anything but kOk the transaction may still
// be open.
TransactionResult FinishTransaction(const Produced& produced, const GroupGeneration& generation,
                                    Committer& committer);

// Runs the second part of a commit while the worker does other things. The committer belongs to it
// from Start() until Look() returns a result. Not thread-safe: one worker owns it.
class CommitTail {
 public:
  enum class Where : uint8_t {
    kOwnThread,
    kNextLook,  // in the worker's thread, when it looks: for whoever wants no threads
  };
  explicit CommitTail(Where where);
  ~CommitTail();
  CommitTail(const CommitTail&) = delete;
  CommitTail& operator=(const CommitTail&) = delete;

  void Start(std::function<TransactionResult()> finish);
  // Between Start() and the result.
  [[nodiscard]] bool IsRunning() const { return running_; }
  // The result, once there is one; waits for it no longer than `wait`.
  std::optional<TransactionResult> Look(Duration wait);
  TransactionResult Wait();

 private:
  void Work();

  const Where where_;
  bool running_ = false;  // the worker's
  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<TransactionResult()> finish_;  // guarded by mutex_: present while there is work
  std::optional<TransactionResult> result_;    // guarded by mutex_
  bool ends_ = false;                          // guarded by mutex_
  std::thread thread_;
};

}  // namespace heartbeatd
