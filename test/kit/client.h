// A thin layer over librdkafka's C API: handles that free themselves, and the few questions that
// all verbs ask.
#pragma once

#include <librdkafka/rdkafka.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace kit {

// Prints the message and ends the process with exit code 1.
[[noreturn]] void Die(const std::string& message);

using Properties = std::map<std::string, std::string>;

struct Connection {
  std::string brokers;
  Properties properties;  // any of librdkafka's; they win over those that a verb sets
};

struct HandleDeleter {
  void operator()(rd_kafka_t* handle) const { rd_kafka_destroy(handle); }
};
using Handle = std::unique_ptr<rd_kafka_t, HandleDeleter>;

struct MessageDeleter {
  void operator()(rd_kafka_message_t* message) const { rd_kafka_message_destroy(message); }
};
using Message = std::unique_ptr<rd_kafka_message_t, MessageDeleter>;

struct PartitionsDeleter {
  void operator()(rd_kafka_topic_partition_list_t* list) const {
    rd_kafka_topic_partition_list_destroy(list);
  }
};
using Partitions = std::unique_ptr<rd_kafka_topic_partition_list_t, PartitionsDeleter>;

// A consumer that belongs to no group's membership: it only ever assigns.
Handle NewConsumer(const Connection& connection, const Properties& properties);

// A producer whose messages of one key go to one partition (murmur2, as Java clients do), in order
// and once. Failed deliveries end the process.
class Producer {
 public:
  Producer(const Connection& connection, const Properties& properties);
  ~Producer();
  Producer(const Producer&) = delete;
  Producer& operator=(const Producer&) = delete;

  // Copies the bytes. Waits while the queue is full. RD_KAFKA_PARTITION_UA lets the key choose; an
  // empty key is none.
  void Send(const std::string& topic, int32_t partition, std::string_view key,
            std::string_view value);
  // Serves delivery reports for at most this long.
  void Poll(int milliseconds) { rd_kafka_poll(handle_.get(), milliseconds); }
  // Returns when all is delivered.
  void Flush();

  int64_t delivered() const { return delivered_; }
  rd_kafka_t* handle() const { return handle_.get(); }

 private:
  static void OnDelivery(rd_kafka_t* handle, const rd_kafka_message_t* message, void* opaque);
  rd_kafka_topic_t* Topic(const std::string& name);

  Handle handle_;
  std::map<std::string, rd_kafka_topic_t*> topics_;
  int64_t delivered_ = 0;
};

// The number of partitions, or 0 if there is no such topic. Ends the process if no broker answers.
int PartitionCount(rd_kafka_t* handle, const std::string& topic);

// All partitions of the topics, which must exist.
Partitions AllPartitions(rd_kafka_t* handle, const std::vector<std::string>& topics);

// Which end of a partition. The values are those of the protocol's ListOffsets.
enum class Edge : int64_t { kEnd = -1, kBegin = -2 };

// The list with each offset set to that edge. `kEnd` is the high watermark if the handle is
// read_uncommitted. A consumer's cached or queried watermarks will not do: they follow the last
// stable offset, and a frozen broker makes them lie. Asks again for up to 10 s, since a broker that
// comes back names its topics before it leads their partitions; ends the process after that.
Partitions Edges(rd_kafka_t* handle, const rd_kafka_topic_partition_list_t* partitions, Edge edge);

}  // namespace kit
