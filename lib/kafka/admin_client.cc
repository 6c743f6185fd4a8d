#include "kafka/admin_client.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <array>
#include <thread>

#include "base/duration.h"

namespace heartbeatd {
namespace {

constexpr Duration kSlice{500};
constexpr Duration kRequestTimeout{10'000};
constexpr Duration kPause{200};
constexpr Duration kLogEvery{5'000};

bool Passing(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_CONTROLLER:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::string CreateCommand(const KafkaOptions& options, const NewTopic& topic) {
  std::string command = fmt::format("kafka-topics.sh --bootstrap-server {} --create --topic {}",
                                    options.brokers, topic.name);
  if (topic.partitions > 0) command += fmt::format(" --partitions {}", topic.partitions);
  for (const auto& [key, value] : topic.config)
    command += fmt::format(" --config {}={}", key, value);
  return command;
}

Result<AdminClient> AdminClient::Make(const KafkaOptions& options, const std::atomic<bool>& stop) {
  auto client = Client::Make(options, ClientRole::kAsk);
  if (!client) return std::unexpected(std::move(client).error());
  return AdminClient(options, std::move(*client), stop);
}

Status AdminClient::Pause(const std::string& doing, const std::string& why) {
  if (stop_) return Fail(doing + ": stopped while waiting", ExitCode::kTemporary);
  if (deadline_.Passed()) {
    return Fail(fmt::format("{}: gave up after {}: {}", doing,
                            FormatDuration(options_.startup_timeout), why),
                ExitCode::kTemporary);
  }
  std::this_thread::sleep_for(kPause);
  return {};
}

Status AdminClient::WaitForBroker() {
  Duration next_log = deadline_.Left() - Duration(1'000);  // the first after a second
  for (;;) {
    const rd_kafka_metadata_t* metadata = nullptr;
    const auto code = rd_kafka_metadata(client_->get(), 0, nullptr, &metadata, ToMs(kSlice));
    rd_kafka_poll(client_->get(), 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      rd_kafka_metadata_destroy(metadata);
      return {};
    }
    const std::string complaint = client_->LastComplaint();
    const std::string why = complaint.empty() ? ToString(code) : complaint;
    if (deadline_.Left() < next_log) {
      next_log = deadline_.Left() - kLogEvery;
      spdlog::warn("kafka: waiting for a broker at {} ({}); giving up in {} s", options_.brokers,
                   why, deadline_.Left().count() / 1000);
    }
    if (auto on = Pause(fmt::format("no Kafka broker answers at {}", options_.brokers), why); !on)
      return on;
  }
}

Result<std::string> AdminClient::ClusterId() {
  char* const id = rd_kafka_clusterid(client_->get(), ToMs(std::max(deadline_.Left(), kSlice)));
  if (id == nullptr) return Fail("the broker tells no cluster id", ExitCode::kTemporary);
  std::string copy(id);
  rd_kafka_mem_free(client_->get(), id);
  return copy;
}

Result<int32_t> AdminClient::Metadata(rd_kafka_topic_t* topic, const std::string& name,
                                      bool& settled) {
  settled = true;
  const rd_kafka_metadata_t* metadata = nullptr;
  auto code = rd_kafka_metadata(client_->get(), 0, topic, &metadata, ToMs(kRequestTimeout));
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    int32_t partitions = 0;
    if (metadata->topic_cnt == 1) {
      code = metadata->topics[0].err;
      partitions = metadata->topics[0].partition_cnt;
    }
    rd_kafka_metadata_destroy(metadata);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return partitions;
  }
  if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return 0;
  settled = !Passing(code);
  if (auto right = MissingRight(code, "Describe", name)) return std::unexpected(std::move(*right));
  return Fail(fmt::format("topic '{}': {}", name, ToString(code)),
              settled ? ExitCode::kConfig : ExitCode::kTemporary);
}

Result<int32_t> AdminClient::Partitions(const std::string& topic) {
  // One topic at a time: asked for all, a broker leaves out those that we may not see.
  const TopicPtr handle(rd_kafka_topic_new(client_->get(), topic.c_str(), nullptr));
  if (handle == nullptr)
    return Fail(fmt::format("topic '{}': {}", topic, ToString(rd_kafka_last_error())));
  for (;;) {
    bool settled = false;
    auto partitions = Metadata(handle.get(), topic, settled);
    if (settled) return partitions;
    if (auto on = Pause("asking for topics", partitions.error().message); !on)
      return std::unexpected(on.error());
  }
}

template <typename Send>
AdminClient::EventPtr AdminClient::Ask(rd_kafka_admin_op_t op, const Send& send) {
  const std::unique_ptr<rd_kafka_queue_t, Destroyer<rd_kafka_queue_destroy>> queue(
      rd_kafka_queue_new(client_->get()));
  const std::unique_ptr<rd_kafka_AdminOptions_t, Destroyer<rd_kafka_AdminOptions_destroy>> options(
      rd_kafka_AdminOptions_new(client_->get(), op));
  const Duration timeout = std::clamp(deadline_.Left(), kSlice, kRequestTimeout);
  std::array<char, 256> text{};
  rd_kafka_AdminOptions_set_request_timeout(options.get(), ToMs(timeout), text.data(), text.size());
  send(options.get(), queue.get());
  const Deadline answer(timeout + kSlice);
  EventPtr event;
  while (event == nullptr && !stop_ && !answer.Passed()) {
    event.reset(rd_kafka_queue_poll(queue.get(), ToMs(kSlice)));
  }
  return event;
}

Result<AdminClient::Created> AdminClient::Create(const NewTopic& topic) {
  const auto by_us = Order(topic);
  if (!by_us) return std::unexpected(by_us.error());
  const auto partitions = WaitUntilKnown(topic.name);
  if (!partitions) return std::unexpected(partitions.error());
  return Created{*by_us, *partitions};
}

Result<bool> AdminClient::Order(const NewTopic& topic) {
  const std::string doing = fmt::format("creating topic '{}'", topic.name);
  for (;;) {
    const auto event = Ask(RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](auto* options, auto* queue) {
      std::array<char, 256> text{};
      rd_kafka_NewTopic_t* wanted =
          rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, -1, text.data(), text.size());
      for (const auto& [key, value] : topic.config)
        rd_kafka_NewTopic_set_config(wanted, key.c_str(), value.c_str());
      rd_kafka_CreateTopics(client_->get(), &wanted, 1, options, queue);
      rd_kafka_NewTopic_destroy(wanted);
    });
    auto code = event != nullptr ? rd_kafka_event_error(event.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    std::string why = ToString(code);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      size_t count = 0;
      const auto* const results = rd_kafka_CreateTopics_result_topics(
          rd_kafka_event_CreateTopics_result(event.get()), &count);
      code = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR_NO_ERROR;
      const char* const detail =
          count == 1 ? rd_kafka_topic_result_error_string(results[0]) : nullptr;
      why = detail != nullptr ? fmt::format("{} ({})", detail, rd_kafka_err2name(code))
                              : ToString(code);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return true;
    if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return false;
    if (!Passing(code)) {
      auto right = MissingRight(code, "Create", topic.name);
      const std::string reason = right ? right->message : why;
      return Fail(fmt::format("{}: {}; or let somebody run: {}", doing, reason,
                              CreateCommand(options_, topic)),
                  ExitCode::kConfig);
    }
    if (auto on = Pause(doing, why); !on) return std::unexpected(std::move(on).error());
  }
}

Result<int32_t> AdminClient::WaitUntilKnown(const std::string& topic) {
  for (;;) {
    auto partitions = Partitions(topic);
    if (!partitions || *partitions > 0) return partitions;
    if (auto on =
            Pause(fmt::format("creating topic '{}'", topic), "the brokers do not know it yet");
        !on) {
      return std::unexpected(std::move(on).error());
    }
  }
}

Result<std::optional<TopicConfig>> AdminClient::Config(const std::string& topic) {
  for (;;) {
    const auto event = Ask(RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, [&](auto* options, auto* queue) {
      rd_kafka_ConfigResource_t* resource =
          rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str());
      rd_kafka_DescribeConfigs(client_->get(), &resource, 1, options, queue);
      rd_kafka_ConfigResource_destroy(resource);
    });
    auto code = event != nullptr ? rd_kafka_event_error(event.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      size_t count = 0;
      const auto* const resources = rd_kafka_DescribeConfigs_result_resources(
          rd_kafka_event_DescribeConfigs_result(event.get()), &count);
      if (count == 1) code = rd_kafka_ConfigResource_error(resources[0]);
      if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        TopicConfig config;
        size_t entries = 0;
        const auto* const list =
            count == 1 ? rd_kafka_ConfigResource_configs(resources[0], &entries) : nullptr;
        for (size_t i = 0; i < entries; ++i) {
          const char* const value = rd_kafka_ConfigEntry_value(list[i]);
          config[rd_kafka_ConfigEntry_name(list[i])] = value != nullptr ? value : "";
        }
        return config;
      }
    }
    if (MissingRight(code, "DescribeConfigs", topic)) return std::optional<TopicConfig>();
    if (!Passing(code) && code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
      return Fail(
          fmt::format("asking for the configuration of topic '{}': {}", topic, ToString(code)));
    }
    if (auto on = Pause("asking for topics", ToString(code)); !on)
      return std::unexpected(on.error());
  }
}

}  // namespace heartbeatd
