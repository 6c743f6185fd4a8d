// Topics and groups as an operator treats them: deleted, emptied, moved, looked at.
#include <array>
#include <chrono>
#include <cstdio>
#include <thread>

#include "commands.h"
#include "text.h"

namespace kit {
namespace {

constexpr int kTimeoutMs = 30'000;

template <auto kDestroy>
struct Destroyer {
  template <typename Thing>
  void operator()(Thing* thing) const {
    kDestroy(thing);
  }
};
using Queue = std::unique_ptr<rd_kafka_queue_t, Destroyer<rd_kafka_queue_destroy>>;
using Event = std::unique_ptr<rd_kafka_event_t, Destroyer<rd_kafka_event_destroy>>;

// The answer to a question that was put to this queue. Ends the process if it is an error.
Event Answer(const Queue& queue, const std::string& doing) {
  Event event(rd_kafka_queue_poll(queue.get(), kTimeoutMs));
  if (!event) Die(doing + ": no answer within 30 s");
  if (rd_kafka_event_error(event.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Die(doing + ": " + rd_kafka_event_error_string(event.get()));
  }
  return event;
}

void WaitUntilGone(rd_kafka_t* handle, const std::string& topic) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  while (PartitionCount(handle, topic) != 0) {
    if (std::chrono::steady_clock::now() > deadline) Die(topic + " is still there after 30 s");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

void DeleteTopics(const DeleteTopicsOptions& options) {
  const Handle client = NewConsumer(options.connection, {});
  const Queue queue(rd_kafka_queue_new(client.get()));
  for (const std::string& name : options.topics) {
    const std::unique_ptr<rd_kafka_DeleteTopic_t, Destroyer<rd_kafka_DeleteTopic_destroy>> topic(
        rd_kafka_DeleteTopic_new(name.c_str()));
    std::array<rd_kafka_DeleteTopic_t*, 1> topics{topic.get()};
    rd_kafka_DeleteTopics(client.get(), topics.data(), topics.size(), nullptr, queue.get());
    const Event event = Answer(queue, "deleting " + name);
    size_t count = 0;
    const rd_kafka_topic_result_t* const* results = rd_kafka_DeleteTopics_result_topics(
        rd_kafka_event_DeleteTopics_result(event.get()), &count);
    for (size_t i = 0; i < count; ++i) {
      if (rd_kafka_topic_result_error(results[i]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        Die("deleting " + name + ": " + rd_kafka_topic_result_error_string(results[i]));
      }
    }
    WaitUntilGone(client.get(), name);
  }
}

void DeleteRecords(const DeleteRecordsOptions& options) {
  const Handle client = NewConsumer(options.connection, {{"isolation.level", "read_uncommitted"}});
  const Partitions all = AllPartitions(client.get(), {options.topic});
  const Partitions begins = Edges(client.get(), all.get(), Edge::kBegin);
  const Partitions before = Edges(client.get(), all.get(), Edge::kEnd);
  for (int i = 0; i < before->cnt; ++i) {
    int64_t& offset = before->elems[i].offset;
    offset = std::max(begins->elems[i].offset, offset - options.keep);
  }
  const std::unique_ptr<rd_kafka_DeleteRecords_t, Destroyer<rd_kafka_DeleteRecords_destroy>> order(
      rd_kafka_DeleteRecords_new(before.get()));
  std::array<rd_kafka_DeleteRecords_t*, 1> orders{order.get()};
  const Queue queue(rd_kafka_queue_new(client.get()));
  rd_kafka_DeleteRecords(client.get(), orders.data(), orders.size(), nullptr, queue.get());
  const Event event = Answer(queue, "deleting records of " + options.topic);
  const rd_kafka_topic_partition_list_t* const done =
      rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event.get()));
  for (int i = 0; i < done->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = done->elems[i];
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      Die("deleting records of " + options.topic + ": " + rd_kafka_err2str(one.err));
    }
    std::printf("{\"topic\":\"%s\",\"partition\":%d,\"begin\":%ld}\n", one.topic, one.partition,
                one.offset);
  }
}

namespace {

// Of each partition: an error of any of them ends the process.
void CheckGroup(const rd_kafka_group_result_t* result, const std::string& doing) {
  if (const rd_kafka_error_t* const error = rd_kafka_group_result_error(result)) {
    Die(doing + ": " + rd_kafka_error_string(error));
  }
  const rd_kafka_topic_partition_list_t* const partitions =
      rd_kafka_group_result_partitions(result);
  for (int i = 0; partitions != nullptr && i < partitions->cnt; ++i) {
    if (partitions->elems[i].err != RD_KAFKA_RESP_ERR_NO_ERROR)
      Die(doing + ": " + rd_kafka_err2str(partitions->elems[i].err));
  }
}

void ForgetOffsets(rd_kafka_t* client, const std::string& group,
                   const rd_kafka_topic_partition_list_t* of) {
  const std::string doing = "deleting the offsets of group " + group;
  const std::unique_ptr<rd_kafka_DeleteConsumerGroupOffsets_t,
                        Destroyer<rd_kafka_DeleteConsumerGroupOffsets_destroy>>
      order(rd_kafka_DeleteConsumerGroupOffsets_new(group.c_str(), of));
  std::array<rd_kafka_DeleteConsumerGroupOffsets_t*, 1> orders{order.get()};
  const Queue queue(rd_kafka_queue_new(client));
  rd_kafka_DeleteConsumerGroupOffsets(client, orders.data(), orders.size(), nullptr, queue.get());
  const Event event = Answer(queue, doing);
  size_t count = 0;
  CheckGroup(rd_kafka_DeleteConsumerGroupOffsets_result_groups(
                 rd_kafka_event_DeleteConsumerGroupOffsets_result(event.get()), &count)[0],
             doing);
}

void SetOffsets(rd_kafka_t* client, const std::string& group,
                const rd_kafka_topic_partition_list_t* to) {
  const std::string doing = "setting the offsets of group " + group;
  const std::unique_ptr<rd_kafka_AlterConsumerGroupOffsets_t,
                        Destroyer<rd_kafka_AlterConsumerGroupOffsets_destroy>>
      order(rd_kafka_AlterConsumerGroupOffsets_new(group.c_str(), to));
  std::array<rd_kafka_AlterConsumerGroupOffsets_t*, 1> orders{order.get()};
  const Queue queue(rd_kafka_queue_new(client));
  rd_kafka_AlterConsumerGroupOffsets(client, orders.data(), orders.size(), nullptr, queue.get());
  const Event event = Answer(queue, doing);
  size_t count = 0;
  CheckGroup(rd_kafka_AlterConsumerGroupOffsets_result_groups(
                 rd_kafka_event_AlterConsumerGroupOffsets_result(event.get()), &count)[0],
             doing);
}

}  // namespace

void ResetOffsets(const ResetOffsetsOptions& options) {
  const Handle client = NewConsumer(options.connection, {{"isolation.level", "read_uncommitted"}});
  Partitions partitions = AllPartitions(client.get(), {options.topic});
  if (options.to == ResetTo::kNothing)
    return ForgetOffsets(client.get(), options.group, partitions.get());
  partitions = Edges(client.get(), partitions.get(),
                     options.to == ResetTo::kBegin ? Edge::kBegin : Edge::kEnd);
  SetOffsets(client.get(), options.group, partitions.get());
}

void Config(const ConfigOptions& options) {
  const Handle client = NewConsumer(options.connection, {});
  const std::unique_ptr<rd_kafka_ConfigResource_t, Destroyer<rd_kafka_ConfigResource_destroy>>
      resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, options.topic.c_str()));
  std::array<rd_kafka_ConfigResource_t*, 1> resources{resource.get()};
  const Queue queue(rd_kafka_queue_new(client.get()));
  rd_kafka_DescribeConfigs(client.get(), resources.data(), resources.size(), nullptr, queue.get());
  const Event event = Answer(queue, "asking for the configuration of " + options.topic);
  size_t count = 0;
  const rd_kafka_ConfigResource_t** const answers = rd_kafka_DescribeConfigs_result_resources(
      rd_kafka_event_DescribeConfigs_result(event.get()), &count);
  if (count != 1 || rd_kafka_ConfigResource_error(answers[0]) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Die("asking for the configuration of " + options.topic + ": is there such a topic?");
  }
  size_t entries = 0;
  const rd_kafka_ConfigEntry_t** const list = rd_kafka_ConfigResource_configs(answers[0], &entries);
  std::string out = "{";
  for (size_t i = 0; i < entries; ++i) {
    const char* const value = rd_kafka_ConfigEntry_value(list[i]);
    if (i > 0) out += ',';
    AppendJsonField(out, rd_kafka_ConfigEntry_name(list[i]), value != nullptr ? value : "");
  }
  std::printf("%s}\n", out.c_str());
}

}  // namespace kit
