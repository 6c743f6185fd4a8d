#include "kafka/admin.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "kafka/admin_client.h"

namespace heartbeatd {
namespace {

constexpr Duration kKafkaDeleteRetention{86'400'000};  // the broker's own default

struct Described {
  std::string name;
  int32_t partitions = 0;  // 0: missing
};

// A topic that this daemon writes to. 1048588 is Kafka's own default, but brokers may have a lower
// one.
NewTopic Output(const std::string& name, int32_t partitions) {
  return {name, partitions, {{"max.message.bytes", "1048588"}}};
}

// Tombstones must outlive a member that is away; small segments and an early cleaner keep restores
// short.
NewTopic Changelog(const std::string& name, int32_t partitions) {
  NewTopic topic = Output(name, partitions);
  topic.config.insert(topic.config.end(), {{"cleanup.policy", "compact"},
                                           {"delete.retention.ms", "604800000"},
                                           {"segment.bytes", "67108864"},
                                           {"min.cleanable.dirty.ratio", "0.2"}});
  return topic;
}

std::string AlterConfig(const KafkaOptions& options, const std::string& topic,
                        const std::string& setting) {
  return fmt::format(
      "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics --entity-name {} "
      "--add-config {}",
      options.brokers, topic, setting);
}

std::optional<int64_t> Number(const TopicConfig& config, const std::string& key) {
  const auto found = config.find(key);
  if (found == config.end()) return {};
  int64_t value = 0;
  const auto* const end = found->second.data() + found->second.size();
  const auto [rest, failure] = std::from_chars(found->second.data(), end, value);
  if (failure != std::errc() || rest != end) return {};
  return value;
}

// One run of ConnectAndPrepare.
class Preparation {
 public:
  Preparation(const KafkaOptions& options, AdminClient client)
      : options_(options), client_(std::move(client)) {}

  Result<Prepared> Run();

 private:
  Status Inputs();
  Status CreateInputs(std::vector<Described>& topics);
  Result<int32_t> Make(const NewTopic& topic);
  Result<int32_t> Ensure(const NewTopic& topic);
  Status Outputs();
  Status CheckChangelogCount(int32_t partitions);
  Status CheckConfigs();
  Status CheckChangelogConfig(const TopicConfig& config);

  const KafkaOptions& options_;
  AdminClient client_;
  Prepared prepared_;
};

Result<Prepared> Preparation::Run() {
  if (auto done = client_.WaitForBroker(); !done) return std::unexpected(done.error());
  auto id = client_.ClusterId();
  if (!id) return std::unexpected(std::move(id).error());
  prepared_.cluster_id = std::move(*id);
  for (const auto step :
       {&Preparation::Inputs, &Preparation::Outputs, &Preparation::CheckConfigs}) {
    if (auto done = (this->*step)(); !done) return std::unexpected(std::move(done).error());
  }
  return std::move(prepared_);
}

// Creates the topic, or says how to, depending on create_topics. Returns how many partitions it
// has.
Result<int32_t> Preparation::Make(const NewTopic& topic) {
  if (!options_.create_topics) {
    return Fail(fmt::format("topic '{}' does not exist and create_topics is false; create it: {}",
                            topic.name, CreateCommand(options_, topic)),
                ExitCode::kConfig);
  }
  const auto created = client_.Create(topic);
  if (!created) return std::unexpected(created.error());
  if (created->by_us) {
    spdlog::info("kafka: created topic '{}' with {} partitions{}", topic.name, created->partitions,
                 topic.partitions > 0 ? "" : ", the broker's default");
    prepared_.created.push_back(topic.name);
  }
  return created->partitions;
}

// The topic as it is, or, if it is missing, as Make() makes it.
Result<int32_t> Preparation::Ensure(const NewTopic& topic) {
  const auto partitions = client_.Partitions(topic.name);
  if (!partitions || *partitions > 0) return partitions;
  return Make(topic);
}

Status Preparation::Inputs() {
  std::vector<Described> topics;
  for (const auto& name : options_.input_topics) {
    const auto partitions = client_.Partitions(name);
    if (!partitions) return std::unexpected(partitions.error());
    topics.push_back({name, *partitions});
  }
  if (auto done = CreateInputs(topics); !done) return done;
  for (const auto& topic : topics) {
    if (topic.partitions == topics.front().partitions) continue;
    const auto [few, many] =
        std::ranges::minmax(std::array{topics.front(), topic}, {}, &Described::partitions);
    return Fail(fmt::format("the input topics must have the same number of partitions, but '{}' "
                            "has {} and '{}' has {}; "
                            "recreate one of them, or, if keys may move: kafka-topics.sh "
                            "--bootstrap-server {} --alter "
                            "--topic {} --partitions {}",
                            few.name, few.partitions, many.name, many.partitions, options_.brokers,
                            few.name, many.partitions),
                ExitCode::kConfig);
  }
  prepared_.partitions = topics.empty() ? 0 : topics.front().partitions;
  return {};
}

// No partition count is invented: a missing input gets that of its sisters.
Status Preparation::CreateInputs(std::vector<Described>& topics) {
  for (auto& topic : topics) {
    if (topic.partitions > 0) continue;
    const auto sister =
        std::ranges::find_if(topics, [](const Described& one) { return one.partitions > 0; });
    const auto made = Make({topic.name, sister != topics.end() ? sister->partitions : -1, {}});
    if (!made) return std::unexpected(made.error());
    topic.partitions = *made;
  }
  return {};
}

Status Preparation::Outputs() {
  for (const auto& name : options_.output_topics) {
    if (auto made = Ensure(Output(name, prepared_.partitions)); !made)
      return std::unexpected(std::move(made).error());
  }
  const auto made = Ensure(Changelog(options_.changelog_topic, prepared_.partitions));
  if (!made) return std::unexpected(made.error());
  return CheckChangelogCount(*made);
}

Status Preparation::CheckChangelogCount(int32_t partitions) {
  if (partitions == prepared_.partitions) return {};
  return Fail(
      fmt::format(
          "the changelog '{}' has {} partitions but the input topics have {}: customers whose "
          "partition "
          "has changed would lose their state; restore the old number of partitions, or begin anew "
          "under another `output.changelog` and `app` with `input.start: earliest`, or, to throw "
          "all "
          "state away, stop every member and run: kafka-topics.sh --bootstrap-server {} --delete "
          "--topic {}",
          options_.changelog_topic, partitions, prepared_.partitions, options_.brokers,
          options_.changelog_topic),
      ExitCode::kConfig);
}

Status Preparation::CheckConfigs() {
  prepared_.changelog_delete_retention = kKafkaDeleteRetention;
  std::vector<std::string> topics = options_.output_topics;
  topics.push_back(options_.changelog_topic);
  for (const auto& topic : topics) {
    const auto config = client_.Config(topic);
    if (!config) return std::unexpected(config.error());
    if (!config->has_value()) {
      spdlog::warn(
          "kafka: no right to see the configuration of topic '{}' (DescribeConfigs): whether it "
          "takes records "
          "of {} bytes is not checked{}",
          topic, kRecordBytes,
          topic == options_.changelog_topic ? ", and its delete.retention.ms is taken to be one day"
                                            : "");
      continue;
    }
    const auto limit = Number(**config, "max.message.bytes");
    if (limit && *limit < kRecordBytes) {
      return Fail(fmt::format("topic '{}' takes records of {} bytes only, but {} may be needed: {}",
                              topic, *limit, kRecordBytes,
                              AlterConfig(options_, topic, "max.message.bytes=1048588")),
                  ExitCode::kConfig);
    }
    if (topic != options_.changelog_topic) continue;
    if (auto done = CheckChangelogConfig(**config); !done) return done;
  }
  return {};
}

Status Preparation::CheckChangelogConfig(const TopicConfig& config) {
  if (const auto retention = Number(config, "delete.retention.ms")) {
    prepared_.changelog_delete_retention = Duration(*retention);
  }
  // "compact,delete" would delete the states of customers that have been silent for long.
  const auto policy = config.find("cleanup.policy");
  if (policy == config.end() || policy->second == "compact") return {};
  return Fail(
      fmt::format(
          "the changelog '{}' has cleanup.policy={}, so states would be lost after a while: {}",
          options_.changelog_topic, policy->second,
          AlterConfig(options_, options_.changelog_topic, "cleanup.policy=compact")),
      ExitCode::kConfig);
}

}  // namespace

Result<Prepared> ConnectAndPrepare(const KafkaOptions& options, const std::atomic<bool>& stop) {
  auto client = AdminClient::Make(options, stop);
  if (!client) return std::unexpected(std::move(client).error());
  return Preparation(options, std::move(*client)).Run();
}

}  // namespace heartbeatd
