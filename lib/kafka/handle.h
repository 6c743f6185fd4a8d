// Private to this room: owners for librdkafka's objects, how a client is made, and what its errors
// mean to people. No header outside this room may include it, since it includes librdkafka's.
#pragma once

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/time.h"
#include "kafka/client.h"
#include "shard/io.h"

namespace heartbeatd {

template <auto kDestroy>
struct Destroyer {
  template <typename T>
  void operator()(T* object) const {
    kDestroy(object);
  }
};
using ConfPtr = std::unique_ptr<rd_kafka_conf_t, Destroyer<rd_kafka_conf_destroy>>;
using TopicPtr = std::unique_ptr<rd_kafka_topic_t, Destroyer<rd_kafka_topic_destroy>>;
using MessagePtr = std::unique_ptr<rd_kafka_message_t, Destroyer<rd_kafka_message_destroy>>;
using PartitionsPtr = std::unique_ptr<rd_kafka_topic_partition_list_t,
                                      Destroyer<rd_kafka_topic_partition_list_destroy>>;
using KafkaErrorPtr = std::unique_ptr<rd_kafka_error_t, Destroyer<rd_kafka_error_destroy>>;

enum class ClientRole {
  kGroup,      // a static member of the consumer group
  kChangelog,  // reads what it is told to, a member of nothing
  kProducer,   // transactional
  kAsk,        // metadata, offsets as read_uncommitted, administration; never reads a record
  kAskStable,  // the same, but offsets as read_committed
};

constexpr bool Asks(ClientRole role) {
  return role == ClientRole::kAsk || role == ClientRole::kAskStable;
}

// What librdkafka calls back, always from a call that the owner makes. `owner` is handed through.
struct ClientCallbacks {
  void* owner = nullptr;
  void (*rebalance)(void* owner, rd_kafka_resp_err_t what,
                    rd_kafka_topic_partition_list_t* partitions) = nullptr;
  void (*delivered)(void* owner, const rd_kafka_message_t* message) = nullptr;
};

class Client;
struct RetireClient {
  void operator()(Client* client) const;
};
using ClientPtr = std::unique_ptr<Client, RetireClient>;

// One librdkafka client. Letting go of its ClientPtr destroys it quickly, even if the broker is
// frozen: nothing is closed in good order, no LeaveGroup is sent (members are static; a restart
// within the session must not move partitions). librdkafka must not be destroyed while a record
// that it delivered is still held, so then the last such record does it.
//
// librdkafka's own threads only log through it; all else belongs to the owner's thread.
class Client {
 public:
  static Result<ClientPtr> Make(const KafkaOptions& options, ClientRole role,
                                const ClientCallbacks& callbacks = {});

  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  [[nodiscard]] rd_kafka_t* get() const { return rk_; }
  // For the log: what it is and whose.
  [[nodiscard]] const std::string& name() const { return name_; }
  // What librdkafka last complained about (connection refused, login failed), or nothing.
  // Thread-safe.
  [[nodiscard]] std::string LastComplaint() const;

  // A delivered record, which keeps the client alive. `topic` must live as long as the source.
  static InputRecord Record(MessagePtr message, std::string_view topic);

 private:
  friend struct RetireClient;
  Client() = default;
  ~Client();

  static Result<ConfPtr> Configure(const KafkaOptions& options, ClientRole role, Client* client);
  static void ReleaseMessage(void* message);
  static void OnLog(const rd_kafka_t* rk, int level, const char* facility, const char* text);
  void Complain(int level, std::string_view facility, const char* text);

  // Constant after Make().
  rd_kafka_t* rk_ = nullptr;
  std::string name_;
  ClientCallbacks callbacks_;

  // Records still held, plus one for the ClientPtr.
  std::atomic<int64_t> holders_{1};

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::string last_complaint_;
  std::map<std::string, int64_t, std::less<>> quiet_until_ms_;  // by librdkafka's facility
};

// The end of a bounded wait for the network; real time, whatever Clock the process runs on.
class Deadline {
 public:
  explicit Deadline(Duration timeout) : end_(SteadyClock::now() + timeout) {}
  [[nodiscard]] Duration Left() const {
    return std::max(std::chrono::duration_cast<Duration>(end_ - SteadyClock::now()), Duration(0));
  }
  [[nodiscard]] bool Passed() const { return Left() == Duration(0); }

 private:
  using SteadyClock = std::chrono::steady_clock;
  SteadyClock::time_point end_;
};

// A list of `of` with every offset at `offset`; or of positions.
PartitionsPtr MakePartitions(const std::vector<TopicPartition>& of, int64_t offset);
PartitionsPtr MakePartitions(const std::vector<Position>& positions);
std::vector<TopicPartition> ToPartitions(const rd_kafka_topic_partition_list_t& list);

std::string ClientId(const KafkaOptions& options, ClientRole role);
std::string ToString(const TopicPartition& at);  // "topic [3]"
std::string ToString(rd_kafka_resp_err_t code);  // "Broker: Unknown member (UNKNOWN_MEMBER_ID)"
int ToMs(Duration timeout);                      // within what librdkafka takes

// The sentence for a right that the broker says is missing, or nothing if `code` is no such error.
// `operation` as in Kafka's ACLs (Read, Write, ...); `name` of the topic
// (or topics, with commas), group or transactional id.
std::optional<Error> MissingRight(rd_kafka_resp_err_t code, std::string_view operation,
                                  std::string_view name);

}  // namespace heartbeatd
