// Private to this room: the committer's state.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kafka/committer.h"
#include "kafka/handle.h"
#include "shard/io.h"

namespace heartbeatd {

class TransactionalProducer final : public Committer {
 public:
  explicit TransactionalProducer(const KafkaOptions& options) : options_(options) {}

  Status Open() override;
  TxResult Begin() override;
  TxResult Produce(const OutputRecord& record) override;
  TxResult Flush() override;
  std::optional<int64_t> ChangelogOffset(int32_t partition) override;
  TxResult SendOffsets(const std::vector<Position>& next,
                       const GroupGeneration& generation) override;
  TxResult Commit() override;
  TxResult Abort() override;

 private:
  // An error as librdkafka gave it.
  struct Mishap {
    std::string doing;  // for people
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    std::string text;
    TxResult::Kind otherwise =
        TxResult::Kind::kAbort;             // what it means if neither fatal nor fencing
    std::string_view topic_right = "Read";  // what may be missing, and
    std::string topic = {};                 // on which topic (default: the inputs)
  };

  void Close();
  void Forget();  // what is known of the current transaction
  Status InitTransactions();
  void LearnTopics();
  rd_kafka_topic_t* Topic(std::string_view name);
  rd_kafka_resp_err_t Enqueue(const OutputRecord& record, rd_kafka_topic_t* topic);
  void Delivered(const rd_kafka_message_t& message);
  TxResult Judge(const Mishap& mishap) const;
  // No error: kOk. Destroys `error`.
  TxResult Judge(std::string doing, KafkaErrorPtr error, TxResult::Kind otherwise) const;
  // What the transaction failed of, when records only say that they were purged because of it.
  Mishap Cause(Mishap mishap) const;
  [[nodiscard]] std::optional<Error> Right(const Mishap& mishap) const;
  [[nodiscard]] TxResult NotOpen() const;

  const KafkaOptions options_;
  ClientPtr client_;
  std::map<std::string, TopicPtr, std::less<>> topics_;  // must go before client_ does

  // Of the current transaction.
  Deadline deadline_{Duration(0)};  // when the coordinator will abort it
  int64_t in_flight_ = 0;
  std::optional<TxResult> failed_;  // the first record that was not delivered
  bool refused_ = false;            // by a broker: sequence numbers have a gap now
  std::map<int32_t, int64_t> changelog_offsets_;
};

}  // namespace heartbeatd
