#include "kafka/handle.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <utility>

namespace heartbeatd {
namespace {

spdlog::level::level_enum ToLevel(int syslog_level) {
  if (syslog_level <= 2) return spdlog::level::err;
  if (syslog_level <= 4) return spdlog::level::warn;
  return syslog_level <= 6 ? spdlog::level::info : spdlog::level::debug;
}

// A client whose broker is away complains in these several times a second.
constexpr std::array<std::string_view, 4> kNoisy{"FAIL", "ERROR", "REQTMOUT", "GETPID"};
constexpr int64_t kQuietMs = 10'000;

// "[thrd:127.0.0.1:9092/bootstrap]: 127.0.0.1:9092/bootstrap: Connect to ..." without its thread.
std::string_view WithoutThread(std::string_view text) {
  const size_t end = text.starts_with("[thrd:") ? text.find("]: ") : std::string_view::npos;
  return end == std::string_view::npos ? text : text.substr(end + 3);
}

std::string_view RoleName(ClientRole role) {
  switch (role) {
    case ClientRole::kGroup:
      return "consumer";
    case ClientRole::kChangelog:
      return "changelog reader";
    case ClientRole::kProducer:
      return "producer";
    case ClientRole::kAsk:
    case ClientRole::kAskStable:
      break;
  }
  return "client";
}

// For log throttling only: librdkafka's threads have no Clock.
int64_t SteadyMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::vector<Header> ReadHeaders(const void* handle) {
  std::vector<Header> headers;
  rd_kafka_headers_t* list = nullptr;
  const auto* const message = static_cast<const rd_kafka_message_t*>(handle);
  if (rd_kafka_message_headers(message, &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return headers;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0;
       rd_kafka_header_get_all(list, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++i) {
    const auto* const bytes = static_cast<const char*>(value);
    headers.push_back({name, bytes != nullptr ? std::string(bytes, size) : std::string()});
  }
  return headers;
}

std::optional<std::string_view> View(const void* bytes, size_t size) {
  if (bytes == nullptr) return {};
  return std::string_view(static_cast<const char*>(bytes), size);
}

}  // namespace

void RetireClient::operator()(Client* client) const {
  if (client->holders_.fetch_sub(1) == 1) {
    delete client;
    return;
  }
  spdlog::warn("kafka {}: closed while records of it are still held; it ends with the last of them",
               client->name_);
}

Client::~Client() {
  if (rk_ != nullptr) rd_kafka_destroy_flags(rk_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

Result<ClientPtr> Client::Make(const KafkaOptions& options, ClientRole role,
                               const ClientCallbacks& callbacks) {
  ClientPtr client(new Client());
  client->callbacks_ = callbacks;
  client->name_ = fmt::format("{} {}", RoleName(role), ClientId(options, role));

  auto conf = Configure(options, role, client.get());
  if (!conf) return std::unexpected(std::move(conf).error());

  const bool producer = role == ClientRole::kProducer;
  std::array<char, 512> text{};
  rd_kafka_conf_t* const raw = conf->release();
  client->rk_ =
      rd_kafka_new(producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, raw, text.data(), text.size());
  if (client->rk_ == nullptr) {
    const ConfPtr still_ours(raw);  // it is taken on success only
    return Fail(
        fmt::format("kafka.properties: librdkafka {}: {}", KafkaLibraryVersion(), text.data()),
        ExitCode::kConfig);
  }
  if (role == ClientRole::kGroup || role == ClientRole::kChangelog)
    rd_kafka_poll_set_consumer(client->rk_);
  return client;
}

std::string Client::LastComplaint() const {
  const std::lock_guard lock(mutex_);
  return last_complaint_;
}

InputRecord Client::Record(MessagePtr message, std::string_view topic) {
  InputRecord record;
  record.topic = topic;
  record.partition = message->partition;
  record.offset = message->offset;
  record.key = View(message->key, message->key_len);
  record.payload = View(message->payload, message->len);
  record.read_headers = &ReadHeaders;
  // The topic's opaque is the client (see Configure): no allocation per record.
  static_cast<Client*>(rd_kafka_topic_opaque(message->rkt))
      ->holders_.fetch_add(1, std::memory_order_relaxed);
  record.handle = InputRecord::Handle(message.release(), &Client::ReleaseMessage);
  return record;
}

void Client::ReleaseMessage(void* message) {
  auto* const mine = static_cast<rd_kafka_message_t*>(message);
  auto* const client = static_cast<Client*>(rd_kafka_topic_opaque(mine->rkt));
  rd_kafka_message_destroy(mine);
  if (client->holders_.fetch_sub(1) == 1) delete client;
}

void Client::OnLog(const rd_kafka_t* rk, int level, const char* facility, const char* text) {
  auto* const client = static_cast<Client*>(rd_kafka_opaque(rk));
  if (client != nullptr) client->Complain(level, facility, text);
}

void Client::Complain(int level, std::string_view facility, const char* text) {
  auto severity = ToLevel(level);
  // Properties of consumers given to a producer and the reverse: users give one list for both.
  if (facility == "CONFWARN") severity = spdlog::level::debug;
  if (std::ranges::find(kNoisy, facility) != kNoisy.end()) {
    const std::lock_guard lock(mutex_);
    if (facility == "FAIL") last_complaint_ = WithoutThread(text);
    const int64_t now = SteadyMs();
    int64_t& quiet_until = quiet_until_ms_.try_emplace(std::string(facility), 0).first->second;
    if (now < quiet_until) {
      severity = spdlog::level::debug;
    } else {
      quiet_until = now + kQuietMs;
    }
  }
  spdlog::log(severity, "kafka {}: {}: {}", name_, facility, text);
}

PartitionsPtr MakePartitions(const std::vector<TopicPartition>& of, int64_t offset) {
  PartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(of.size())));
  for (const auto& at : of)
    rd_kafka_topic_partition_list_add(list.get(), at.topic.c_str(), at.partition)->offset = offset;
  return list;
}

PartitionsPtr MakePartitions(const std::vector<Position>& positions) {
  PartitionsPtr list(rd_kafka_topic_partition_list_new(static_cast<int>(positions.size())));
  for (const auto& [at, offset] : positions) {
    rd_kafka_topic_partition_list_add(list.get(), at.topic.c_str(), at.partition)->offset = offset;
  }
  return list;
}

std::vector<TopicPartition> ToPartitions(const rd_kafka_topic_partition_list_t& list) {
  std::vector<TopicPartition> partitions;
  partitions.reserve(static_cast<size_t>(list.cnt));
  for (int i = 0; i < list.cnt; ++i)
    partitions.push_back({list.elems[i].topic, list.elems[i].partition});
  return partitions;
}

std::string ClientId(const KafkaOptions& options, ClientRole role) {
  return Asks(role) ? fmt::format("{}-{}", options.app, options.instance) : WorkerId(options);
}

std::string ToString(const TopicPartition& at) {
  return fmt::format("{} [{}]", at.topic, at.partition);
}

std::string ToString(rd_kafka_resp_err_t code) {
  return fmt::format("{} ({})", rd_kafka_err2str(code), rd_kafka_err2name(code));
}

int ToMs(Duration timeout) {
  return static_cast<int>(std::clamp<int64_t>(timeout.count(), 0, std::numeric_limits<int>::max()));
}

std::optional<Error> MissingRight(rd_kafka_resp_err_t code, std::string_view operation,
                                  std::string_view name) {
  std::string resource;
  std::string_view flag;
  switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      resource = "topic";
      flag = "--topic";
      break;
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      resource = "group";
      flag = "--group";
      break;
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      resource = "transactional id";
      flag = "--transactional-id";
      break;
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
      return Error{fmt::format("the Kafka user lacks the right {0} on the cluster; grant it with "
                               "kafka-acls.sh --add "
                               "--allow-principal User:NAME --operation {0} --cluster",
                               operation),
                   ExitCode::kConfig};
    default:
      return {};
  }
  const bool several = name.find(',') != std::string_view::npos;
  return Error{
      fmt::format(
          "the Kafka user lacks the right {0} on {1} {2} '{3}'; grant it with kafka-acls.sh --add "
          "--allow-principal User:NAME --operation {0} {4} {5}",
          operation, several ? "one of the" : "the", resource + (several ? "s" : ""), name, flag,
          several ? "NAME" : name),
      ExitCode::kConfig};
}

}  // namespace heartbeatd
