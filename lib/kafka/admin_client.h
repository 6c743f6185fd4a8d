// Private to this room: questions and orders to the cluster, each bounded by one deadline for all.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kafka/handle.h"

namespace heartbeatd {

using TopicConfig = std::map<std::string, std::string>;

struct NewTopic {
  std::string name;
  int32_t partitions = -1;  // -1: the broker's default
  std::vector<std::pair<std::string, std::string>> config;
};

// The shell command that makes the topic.
std::string CreateCommand(const KafkaOptions& options, const NewTopic& topic);

// Retries what passes by itself, until the deadline or until `stop`. Not thread-safe.
class AdminClient {
 public:
  static Result<AdminClient> Make(const KafkaOptions& options, const std::atomic<bool>& stop);

  Status WaitForBroker();
  Result<std::string> ClusterId();
  // How many partitions the topic has; 0 if there is no such topic.
  Result<int32_t> Partitions(const std::string& topic);
  struct Created {
    bool by_us = false;  // or by somebody else, meanwhile
    int32_t partitions = 0;
  };
  // Returns once a broker knows the topic; another one may not know it yet.
  Result<Created> Create(const NewTopic& topic);
  // Nothing if we may not see it.
  Result<std::optional<TopicConfig>> Config(const std::string& topic);

 private:
  AdminClient(const KafkaOptions& options, ClientPtr client, const std::atomic<bool>& stop)
      : options_(options),
        client_(std::move(client)),
        stop_(stop),
        deadline_(options.startup_timeout) {}

  [[nodiscard]] bool Over() const { return stop_ || deadline_.Passed(); }
  // Waits a little; an error if it is too late to try again.
  Status Pause(const std::string& doing, const std::string& why);
  Result<int32_t> Metadata(rd_kafka_topic_t* topic, const std::string& name, bool& settled);
  Result<bool> Order(const NewTopic& topic);
  Result<int32_t> WaitUntilKnown(const std::string& topic);
  using EventPtr = std::unique_ptr<rd_kafka_event_t, Destroyer<rd_kafka_event_destroy>>;
  // Runs an asynchronous request: `send` gets the options and the queue for the answer.
  template <typename Send>
  EventPtr Ask(rd_kafka_admin_op_t op, const Send& send);

  const KafkaOptions& options_;
  ClientPtr client_;
  const std::atomic<bool>& stop_;
  Deadline deadline_;
};

}  // namespace heartbeatd
