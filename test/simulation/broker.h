// A Kafka of one process and no network: logs, transactions with epochs and timeouts, the group's
// committed offsets. What is lost or delayed on the way to it is the callers' business (client.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "shard/io.h"
#include "simulation/group.h"
#include "simulation/log.h"
#include "simulation/random.h"

namespace heartbeatd::sim {

// A transactional producer as the coordinator knows it.
struct ProducerName {
  std::string id;  // transactional.id
  int epoch = 0;
};

// Not thread-safe.
class Broker {
 public:
  enum class Answer : uint8_t { kOk, kFencedProducer, kFencedMember, kNoTransaction };

  struct Options {
    int32_t partitions = 0;
    std::vector<std::string> topics;
    Duration session_timeout{0};
    Duration rebalance_timeout{0};
    Duration transaction_timeout{0};
  };

  Broker(Options options, const Clock& clock);

  Log& log(const TopicPartition& at) { return logs_.at(at); }
  [[nodiscard]] const std::map<TopicPartition, Log>& logs() const { return logs_; }
  Group& group() { return group_; }

  // A new epoch; whatever an older one left open is aborted.
  ProducerName InitTransactions(const std::string& id);
  Answer Produce(const ProducerName& producer, const TopicPartition& at, Entry entry,
                 int64_t* offset);
  Answer SendOffsets(const ProducerName& producer, const std::vector<Position>& next,
                     const Membership& who);
  Answer EndTransaction(const ProducerName& producer, bool commit);
  // The request to commit is on its way and arrives at some later Tick(), or too late.
  void DeferCommit(const ProducerName& producer) { deferred_.push_back(producer); }

  // Nothing while an open transaction may still change it.
  struct Stable {
    bool pending = false;
    std::optional<int64_t> offset;
  };
  [[nodiscard]] Stable CommittedOffset(const TopicPartition& at) const;

  // Lets transactions and sessions time out, and late requests arrive.
  void Tick(Random* random);
  [[nodiscard]] bool HasOpenTransactions() const;

 private:
  struct Transaction {
    bool open = false;
    int epoch = 0;
    Duration began{0};
    std::map<TopicPartition, std::vector<int64_t>> written;
    std::map<TopicPartition, int64_t> offsets;
  };

  void Begin(Transaction* transaction) const;
  void End(Transaction* transaction, bool commit);

  const Options options_;
  const Clock& clock_;
  std::map<TopicPartition, Log> logs_;
  Group group_;
  std::map<std::string, Transaction> transactions_;  // by transactional.id
  std::map<TopicPartition, int64_t> committed_;
  std::vector<ProducerName> deferred_;
};

}  // namespace heartbeatd::sim
