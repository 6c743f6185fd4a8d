#include "client.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace kit {
namespace {

constexpr int kAnswerTimeoutMs = 10'000;
constexpr int kFlushTimeoutMs = 60'000;

using SteadyClock = std::chrono::steady_clock;

rd_kafka_conf_t* NewConf(const Connection& connection, const Properties& properties) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  Properties all = properties;
  all["bootstrap.servers"] = connection.brokers;
  all["client.id"] = "heartbeatd-kit";
  all["log_level"] = "3";  // warnings are about what it retries
  for (const auto& [key, value] : connection.properties) all[key] = value;
  std::array<char, 512> error{};
  for (const auto& [key, value] : all) {
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), error.data(), error.size()) !=
        RD_KAFKA_CONF_OK) {
      Die(error.data());
    }
  }
  return conf;
}

Handle NewHandle(rd_kafka_type_t type, rd_kafka_conf_t* conf) {
  std::array<char, 512> error{};
  Handle handle(rd_kafka_new(type, conf, error.data(), error.size()));
  if (!handle) Die(error.data());
  return handle;
}

int MsUntil(SteadyClock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
  return static_cast<int>(std::max<int64_t>(1, left.count()));
}

// offsets_for_times takes what it knows of leaders, "none" included, for the truth: a look at all
// topics renews it. Without an answer all stays as it is.
void LearnLeaders(rd_kafka_t* handle, int timeout_ms) {
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(handle, 1, nullptr, &metadata, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
    rd_kafka_metadata_destroy(metadata);
}

// Of an answer as a whole, or of the first partition that has one: " of t: why". Empty if none.
std::string FirstError(rd_kafka_resp_err_t whole, const rd_kafka_topic_partition_list_t* list) {
  if (whole != RD_KAFKA_RESP_ERR_NO_ERROR) return std::string(": ") + rd_kafka_err2str(whole);
  for (int i = 0; i < list->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list->elems[i];
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR)
      return std::string(" of ") + one.topic + ": " + rd_kafka_err2str(one.err);
  }
  return "";
}

}  // namespace

void Die(const std::string& message) {
  std::fflush(stdout);
  std::fprintf(stderr, "heartbeatd-kit: %s\n", message.c_str());
  // Not exit(): librdkafka's threads still run, and nothing here needs tidying.
  std::_Exit(1);
}

Handle NewConsumer(const Connection& connection, const Properties& properties) {
  Properties all = properties;
  all.try_emplace("group.id", "heartbeatd-kit");
  all["enable.auto.commit"] = "false";
  Handle handle = NewHandle(RD_KAFKA_CONSUMER, NewConf(connection, all));
  rd_kafka_poll_set_consumer(handle.get());
  return handle;
}

Producer::Producer(const Connection& connection, const Properties& properties) {
  Properties all = properties;
  all["enable.idempotence"] = "true";
  all["partitioner"] = "murmur2";
  rd_kafka_conf_t* conf = NewConf(connection, all);
  rd_kafka_conf_set_opaque(conf, this);
  rd_kafka_conf_set_dr_msg_cb(conf, &Producer::OnDelivery);
  handle_ = NewHandle(RD_KAFKA_PRODUCER, conf);
}

Producer::~Producer() {
  for (const auto& [name, topic] : topics_) rd_kafka_topic_destroy(topic);
}

void Producer::OnDelivery(rd_kafka_t* /*handle*/, const rd_kafka_message_t* message, void* opaque) {
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Die(std::string("a message was not delivered: ") + rd_kafka_err2str(message->err));
  }
  ++static_cast<Producer*>(opaque)->delivered_;
}

rd_kafka_topic_t* Producer::Topic(const std::string& name) {
  auto [entry, is_new] = topics_.try_emplace(name, nullptr);
  if (is_new) {
    if (PartitionCount(handle_.get(), name) == 0)
      Die("there is no topic " + name + ": create it with create-topics");
    entry->second = rd_kafka_topic_new(handle_.get(), name.c_str(), nullptr);
  }
  return entry->second;
}

void Producer::Send(const std::string& topic, int32_t partition, std::string_view key,
                    std::string_view value) {
  rd_kafka_topic_t* target = Topic(topic);
  // librdkafka copies the value (MSG_F_COPY); its signature predates const.
  void* bytes = const_cast<char*>(value.data());
  const void* key_bytes = key.empty() ? nullptr : key.data();
  while (rd_kafka_produce(target, partition, RD_KAFKA_MSG_F_COPY, bytes, value.size(), key_bytes,
                          key.size(), nullptr) != 0) {
    const rd_kafka_resp_err_t error = rd_kafka_last_error();
    if (error != RD_KAFKA_RESP_ERR__QUEUE_FULL)
      Die("cannot send to " + topic + ": " + rd_kafka_err2str(error));
    Poll(10);
  }
}

void Producer::Flush() {
  if (rd_kafka_flush(handle_.get(), kFlushTimeoutMs) != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Die("messages were not delivered within 60 s: is the broker up?");
  }
}

int PartitionCount(rd_kafka_t* handle, const std::string& topic) {
  // All topics, not the one: asking for one by name would put it on the client's list of wanted
  // topics.
  const rd_kafka_metadata_t* metadata = nullptr;
  const rd_kafka_resp_err_t error =
      rd_kafka_metadata(handle, 1, nullptr, &metadata, kAnswerTimeoutMs);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    Die(std::string("no broker answers (") + rd_kafka_err2str(error) +
        "): is it up? ./dev kafka status");
  }
  int count = 0;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    if (topic == metadata->topics[i].topic) count = metadata->topics[i].partition_cnt;
  }
  rd_kafka_metadata_destroy(metadata);
  return count;
}

Partitions AllPartitions(rd_kafka_t* handle, const std::vector<std::string>& topics) {
  Partitions list(rd_kafka_topic_partition_list_new(16));
  for (const std::string& topic : topics) {
    const int count = PartitionCount(handle, topic);
    if (count == 0) Die("there is no topic " + topic);
    rd_kafka_topic_partition_list_add_range(list.get(), topic.c_str(), 0, count - 1);
  }
  return list;
}

Partitions Edges(rd_kafka_t* handle, const rd_kafka_topic_partition_list_t* partitions, Edge edge) {
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(kAnswerTimeoutMs);
  while (true) {
    Partitions list(rd_kafka_topic_partition_list_copy(partitions));
    for (int i = 0; i < list->cnt; ++i) list->elems[i].offset = static_cast<int64_t>(edge);
    const std::string error =
        FirstError(rd_kafka_offsets_for_times(handle, list.get(), MsUntil(deadline)), list.get());
    if (error.empty()) return list;
    if (SteadyClock::now() >= deadline) Die("cannot ask for offsets" + error);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    LearnLeaders(handle, MsUntil(deadline));
  }
}

}  // namespace kit
