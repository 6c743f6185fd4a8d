#include "kafka/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kafka/handle.h"

namespace heartbeatd {
namespace {

struct Fixed {
  std::string_view key;
  std::string_view reason;
};

constexpr std::string_view kExactlyOnce =
    "it is fixed: exactly-once delivery of alerts depends on it";
constexpr std::string_view kNames =
    "it is derived from `app`, `instance` and the worker's number; set those";

// Properties that are ours, with their aliases. Whatever is absent here is the user's to choose.
constexpr std::array kFixed = std::to_array<Fixed>({
    {"bootstrap.servers", "set kafka.brokers instead"},
    {"metadata.broker.list", "set kafka.brokers instead"},
    {"group.id", kNames},
    {"group.instance.id", kNames},
    {"transactional.id", kNames},
    {"session.timeout.ms", "set kafka.session_timeout instead"},
    {"transaction.timeout.ms", kExactlyOnce},
    {"enable.auto.commit", kExactlyOnce},
    {"auto.commit.enable", kExactlyOnce},
    {"enable.auto.offset.store", kExactlyOnce},
    {"offset.store.method", kExactlyOnce},
    {"offset.store.path", kExactlyOnce},
    {"isolation.level", kExactlyOnce},
    {"enable.partition.eof", kExactlyOnce},
    {"enable.idempotence", kExactlyOnce},
    {"acks", kExactlyOnce},
    {"request.required.acks", kExactlyOnce},
    {"auto.offset.reset", "set input.start instead: it counts only until the first commit"},
    {"partition.assignment.strategy",
     "it is fixed to `range`, which keeps the input topics co-partitioned"},
    {"group.protocol", "it is fixed to `classic`: members are static and assigned eagerly"},
    {"group.remote.assignor",
     "the assignor is fixed to `range`, which keeps the input topics co-partitioned"},
    {"partitioner",
     "it is fixed to `murmur2_random`, so that keys land where Java clients put them"},
    {"allow.auto.create.topics", "set create_topics instead"},
    {"enable.gapless.guarantee", kExactlyOnce},
});

// Why librdkafka itself refuses the pair; empty when it takes it.
std::string Refusal(const std::string& key, const std::string& value) {
  const ConfPtr conf(rd_kafka_conf_new());
  std::array<char, 512> text{};
  switch (rd_kafka_conf_set(conf.get(), key.c_str(), value.c_str(), text.data(), text.size())) {
    case RD_KAFKA_CONF_OK:
      return {};
    case RD_KAFKA_CONF_UNKNOWN:
      return fmt::format("librdkafka {} has no such property", KafkaLibraryVersion());
    default:
      return fmt::format("librdkafka {} refuses it: {}", KafkaLibraryVersion(), text.data());
  }
}

std::string Value(const std::map<std::string, std::string>& properties, std::string_view key) {
  const auto found = properties.find(std::string(key));
  return found == properties.end() ? std::string() : found->second;
}

constexpr int kScramFixedIn = 0x02060100;

}  // namespace

std::string GroupId(const KafkaOptions& options) { return options.app; }

std::string WorkerId(const KafkaOptions& options) {
  return fmt::format("{}-{}-{}", options.app, options.instance, options.worker);
}

std::vector<PropertyProblem> CheckProperties(const std::map<std::string, std::string>& properties) {
  std::vector<PropertyProblem> problems;
  for (const auto& [key, value] : properties) {
    // librdkafka takes topic properties with this prefix as well.
    const std::string_view bare =
        key.starts_with("topic.") ? std::string_view(key).substr(6) : std::string_view(key);
    const auto* const fixed = std::ranges::find(kFixed, bare, &Fixed::key);
    if (fixed != kFixed.end()) {
      problems.push_back({key, std::string(fixed->reason)});
    } else if (std::string why = Refusal(key, value); !why.empty()) {
      problems.push_back({key, std::move(why)});
    }
  }
  return problems;
}

std::vector<PropertyProblem> PropertyWarnings(
    const std::map<std::string, std::string>& properties) {
  return PropertyWarnings(properties, rd_kafka_version());
}

std::vector<PropertyProblem> PropertyWarnings(const std::map<std::string, std::string>& properties,
                                              int version) {
  std::vector<PropertyProblem> warnings;
  for (const std::string_view key : {"sasl.mechanism", "sasl.mechanisms"}) {
    if (Value(properties, key).find("SCRAM") == std::string::npos || version >= kScramFixedIn)
      continue;
    warnings.push_back(
        {std::string(key),
         fmt::format("SCRAM logins of librdkafka {} fail against Kafka 4 brokers; use "
                     "librdkafka 2.6.1 or newer (Debian 13 has it), or PLAIN over TLS",
                     KafkaLibraryVersion())});
  }
  return warnings;
}

std::string KafkaLibraryVersion() { return rd_kafka_version_str(); }

}  // namespace heartbeatd
