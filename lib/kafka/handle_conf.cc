// The librdkafka properties of each role, in three layers: defaults that a user may override, the
// user's own, and what the protocol fixes.
#include <fmt/format.h>

#include <array>
#include <utility>

#include "kafka/handle.h"

namespace heartbeatd {
namespace {

// The least that librdkafka takes for fetch.max.bytes: message.max.bytes.
constexpr int64_t kFetchBytes = 1 << 20;

using Properties = std::vector<std::pair<std::string, std::string>>;

std::string Kilobytes(int64_t bytes) { return fmt::to_string(std::max<int64_t>(bytes / 1024, 1)); }

// One answer may be this large, whatever else is queued already: a small part of the queue, but no
// less than a few records and no more than `most`.
std::string FetchBytes(int64_t queue_bytes, int64_t most) {
  return fmt::to_string(std::clamp<int64_t>(queue_bytes / 4, 128 << 10, most));
}

void AddConsumerDefaults(const KafkaOptions& options, ClientRole role, Properties& out) {
  // Below 2.2 librdkafka sleeps a second whenever a queue passes this (its default is 100,000):
  // only the limit in kilobytes shall count.
  out.emplace_back("queued.min.messages", "5000000");
  out.emplace_back("fetch.queue.backoff.ms", "10");  // the same from 2.2 on; unknown before
  if (role == ClientRole::kGroup) {
    out.emplace_back("queued.max.messages.kbytes", Kilobytes(options.input_queue_bytes));
    out.emplace_back("max.partition.fetch.bytes", FetchBytes(options.input_queue_bytes, 1 << 20));
    out.emplace_back("fetch.max.bytes", fmt::to_string(kFetchBytes));
    out.emplace_back("max.poll.interval.ms", fmt::to_string(options.max_poll_interval.count()));
    // Start() takes effect when the fetch under way returns, which at the end of the log is after
    // this long; so does the end-of-partition event behind an upstream's commit marker. Records
    // wait never.
    out.emplace_back("fetch.wait.max.ms", "100");
  } else {
    out.emplace_back("queued.max.messages.kbytes", Kilobytes(options.restore_queue_bytes));
    // The last end-of-partition event of a restore comes with an empty fetch: do not wait for it.
    out.emplace_back("fetch.wait.max.ms", "10");
    out.emplace_back("max.partition.fetch.bytes", FetchBytes(options.restore_queue_bytes, 8 << 20));
    out.emplace_back("fetch.max.bytes",
                     fmt::to_string(std::max<int64_t>(kFetchBytes, options.restore_queue_bytes)));
  }
}

Properties Defaults(const KafkaOptions& options, ClientRole role) {
  Properties out{
      {"client.id", ClientId(options, role)},
      {"socket.keepalive.enable", "true"},
      {"reconnect.backoff.max.ms", "2000"},
  };
  if (role == ClientRole::kProducer) {
    out.emplace_back("compression.type", "lz4");
    // Counts the record's frame too: one of kRecordBytes (admin.h) does not fit into the default,
    // 1000000.
    out.emplace_back("message.max.bytes", "1048576");
    // A commit flushes and does not wait for it: until then larger batches spare broker and
    // network.
    out.emplace_back("linger.ms", "200");
    out.emplace_back("queue.buffering.max.messages", "1000000");
    out.emplace_back("queue.buffering.max.kbytes", Kilobytes(options.output_queue_bytes));
  } else if (!Asks(role)) {
    AddConsumerDefaults(options, role, out);
  }
  return out;
}

Properties Fixed(const KafkaOptions& options, ClientRole role) {
  Properties out{{"bootstrap.servers", options.brokers}};
  if (role == ClientRole::kProducer) {
    out.emplace_back("transactional.id", WorkerId(options));
    out.emplace_back("transaction.timeout.ms", fmt::to_string(options.transaction_timeout.count()));
    out.emplace_back("partitioner", "murmur2_random");
    return out;
  }
  out.emplace_back("allow.auto.create.topics", "false");
  out.emplace_back("enable.auto.commit", "false");
  out.emplace_back("enable.auto.offset.store", "false");
  out.emplace_back("auto.offset.reset", "error");
  out.emplace_back("isolation.level",
                   role == ClientRole::kAsk ? "read_uncommitted" : "read_committed");
  // Of all consumers, members or not: librdkafka refuses a max.poll.interval.ms below it.
  out.emplace_back("session.timeout.ms", fmt::to_string(options.session_timeout.count()));
  if (Asks(role)) return out;
  out.emplace_back("enable.partition.eof", "true");
  // librdkafka wants a group even of a consumer that joins none.
  out.emplace_back("group.id", GroupId(options));
  if (role == ClientRole::kGroup) {
    out.emplace_back("group.instance.id", WorkerId(options));
    out.emplace_back("partition.assignment.strategy", "range");
  }
  return out;
}

}  // namespace

Result<ConfPtr> Client::Configure(const KafkaOptions& options, ClientRole role, Client* client) {
  ConfPtr conf(rd_kafka_conf_new());
  // The opaque of every topic is the client, so that a record finds it. It must precede the topic
  // properties, which go into the same object.
  rd_kafka_topic_conf_t* const topic_conf = rd_kafka_topic_conf_new();
  rd_kafka_topic_conf_set_opaque(topic_conf, client);
  rd_kafka_conf_set_default_topic_conf(conf.get(), topic_conf);
  rd_kafka_conf_set_opaque(conf.get(), client);
  rd_kafka_conf_set_log_cb(conf.get(), &Client::OnLog);

  std::array<char, 512> text{};
  const auto set = [&](const std::string& key, const std::string& value) {
    return rd_kafka_conf_set(conf.get(), key.c_str(), value.c_str(), text.data(), text.size());
  };
  for (const auto& [key, value] : Defaults(options, role)) {
    if (set(key, value) == RD_KAFKA_CONF_INVALID)
      return Fail(fmt::format("{}={}: {}", key, value, text.data()));
  }
  for (const auto& [key, value] : options.properties) {
    if (set(key, value) == RD_KAFKA_CONF_OK) continue;
    return Fail(fmt::format("kafka.properties: {}={}: {}", key, value, text.data()),
                ExitCode::kConfig);
  }
  for (const auto& [key, value] : Fixed(options, role)) {
    if (set(key, value) == RD_KAFKA_CONF_OK) continue;
    return Fail(fmt::format("kafka: {}={}: {}", key, value, text.data()), ExitCode::kConfig);
  }

  if (client->callbacks_.rebalance != nullptr) {
    rd_kafka_conf_set_rebalance_cb(
        conf.get(), [](rd_kafka_t* /*rk*/, rd_kafka_resp_err_t what,
                       rd_kafka_topic_partition_list_t* partitions, void* opaque) {
          const auto& callbacks = static_cast<Client*>(opaque)->callbacks_;
          callbacks.rebalance(callbacks.owner, what, partitions);
        });
  }
  if (client->callbacks_.delivered != nullptr) {
    rd_kafka_conf_set_dr_msg_cb(
        conf.get(), [](rd_kafka_t* /*rk*/, const rd_kafka_message_t* message, void* opaque) {
          const auto& callbacks = static_cast<Client*>(opaque)->callbacks_;
          callbacks.delivered(callbacks.owner, message);
        });
  }
  return conf;
}

}  // namespace heartbeatd
