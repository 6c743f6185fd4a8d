// Private to this room: reads assigned partitions. What the group source and the changelog source
// have in common.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kafka/handle.h"
#include "kafka/offsets.h"
#include "shard/io.h"

namespace heartbeatd {

// Owns one consumer client and knows, of each started partition, which offset comes next. Records
// below it are dropped: a rewound or outdated fetch must never hand a record out twice.
//
// Not thread-safe.
class Reader {
 public:
  struct Started {
    TopicPartition at;
    int64_t next = 0;  // everything before it has been delivered; control records counted at an end
    bool seen = false;  // something was delivered since this was last cleared
  };

  Reader(KafkaOptions options, ClientRole role, std::shared_ptr<OffsetAsker> asker);

  // Makes a new client with nothing started, and destroys the one before, if there is one.
  Status Open(const ClientCallbacks& callbacks = {});

  // At most one record, end, or error. An error that ends the client is repeated until Open().
  Polled Poll(Duration timeout);

  Status Start(const std::vector<Position>& positions);
  // Reads nothing any more. `kGiveBack` also tells the group that the partitions are free.
  enum class Stop { kKeep, kGiveBack };
  Status StopAll(Stop how);

  [[nodiscard]] Client& client() { return *client_; }
  [[nodiscard]] const KafkaOptions& options() const { return options_; }
  [[nodiscard]] std::vector<Started>& started() { return started_; }
  [[nodiscard]] bool dead() const { return dead_.has_value(); }
  // True if librdkafka had nothing queued at some time since the last call.
  [[nodiscard]] bool TakeRanDry() { return std::exchange(ran_dry_, false); }

 private:
  // The partitions of one topic: index into started_, or -1.
  struct Topic {
    std::string name;
    std::vector<int> slots;
  };

  // librdkafka before 2.2 sleeps up to a second once its queue is full, and does not notice that it
  // is empty again: any request to the partitions' leaders wakes it. Waits for the answer.
  void Nudge();
  Started* Find(std::string_view topic, int32_t partition, const Topic** in);
  Topic& Intern(const std::string& name);
  Polled Translate(MessagePtr message);
  Polled TranslateError(const rd_kafka_message_t& message);
  Polled OutOfRange(const rd_kafka_message_t& message);
  Polled Fatal();
  Polled Die(Polled::Kind kind, Error error);

  const KafkaOptions options_;
  const ClientRole role_;
  const std::shared_ptr<OffsetAsker> asker_;

  ClientPtr client_;
  std::deque<Topic> topics_;  // never shrinks: records refer to the names
  std::vector<Started> started_;
  bool ran_dry_ = false;
  int64_t taken_bytes_ = 0;  // since the last nudge
  struct Dead {
    Polled::Kind kind;
    Error error;
  };
  std::optional<Dead> dead_;
};

}  // namespace heartbeatd
