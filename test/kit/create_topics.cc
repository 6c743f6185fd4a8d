#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include "commands.h"

namespace kit {
namespace {

constexpr int kTimeoutMs = 30'000;

struct NewTopicDeleter {
  void operator()(rd_kafka_NewTopic_t* topic) const { rd_kafka_NewTopic_destroy(topic); }
};
struct QueueDeleter {
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
};
struct EventDeleter {
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};

void CreateOne(rd_kafka_t* handle, const std::string& name, const CreateTopicsOptions& options) {
  std::array<char, 512> error{};
  const std::unique_ptr<rd_kafka_NewTopic_t, NewTopicDeleter> topic(
      rd_kafka_NewTopic_new(name.c_str(), options.partitions, -1, error.data(), error.size()));
  if (!topic) Die(error.data());
  for (const auto& [key, value] : options.configuration)
    rd_kafka_NewTopic_set_config(topic.get(), key.c_str(), value.c_str());
  const std::unique_ptr<rd_kafka_queue_t, QueueDeleter> queue(rd_kafka_queue_new(handle));
  std::array<rd_kafka_NewTopic_t*, 1> topics{topic.get()};
  rd_kafka_CreateTopics(handle, topics.data(), topics.size(), nullptr, queue.get());
  const std::unique_ptr<rd_kafka_event_t, EventDeleter> event(
      rd_kafka_queue_poll(queue.get(), kTimeoutMs));
  if (!event) Die("the broker did not create " + name + " within 30 s");
  if (rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Die("cannot create " + name + ": " + rd_kafka_event_error_string(event.get()));
  }
  size_t count = 0;
  const rd_kafka_topic_result_t* const* results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event.get()), &count);
  for (size_t i = 0; i < count; ++i) {
    if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      Die("cannot create " + name + ": " + rd_kafka_topic_result_error_string(results[i]));
    }
  }
}

// The controller answers before the broker has taken up the leadership of the new partitions.
void WaitForLeaders(rd_kafka_t* handle, const std::string& name, int partitions) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  while (std::chrono::steady_clock::now() < deadline) {
    const rd_kafka_metadata_t* metadata = nullptr;
    int led = 0;
    if (rd_kafka_metadata(handle, 1, nullptr, &metadata, kTimeoutMs) ==
        RD_KAFKA_RESP_ERR_NO_ERROR) {
      for (int i = 0; i < metadata->topic_cnt; ++i) {
        if (name != metadata->topics[i].topic) continue;
        for (int j = 0; j < metadata->topics[i].partition_cnt; ++j)
          led += metadata->topics[i].partitions[j].leader >= 0 ? 1 : 0;
      }
      rd_kafka_metadata_destroy(metadata);
    }
    if (led == partitions) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  Die("the partitions of " + name + " have no leader after 30 s");
}

}  // namespace

void CreateTopics(const CreateTopicsOptions& options) {
  const Handle client = NewConsumer(options.connection, {});
  for (const std::string& name : options.topics) {
    const int existing = PartitionCount(client.get(), name);
    if (existing != 0 && existing != options.partitions) {
      Die(name + " exists with " + std::to_string(existing) + " partitions, not " +
          std::to_string(options.partitions) + ": delete it or name another");
    }
    if (existing == 0) CreateOne(client.get(), name, options);
    WaitForLeaders(client.get(), name, options.partitions);
    std::printf("%s: %d partitions, %s\n", name.c_str(), options.partitions,
                existing == 0 ? "created" : "exists");
  }
}

}  // namespace kit
