#include "kafka/reader.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>

namespace heartbeatd {
namespace {

constexpr Duration kRangeTimeout{5'000};
constexpr Duration kNudgeTimeout{100};

// Errors of librdkafka that it retries by itself: it only wants them known.
bool Passing(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED:  // a kLost follows
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
      return true;
    default:
      return false;
  }
}

}  // namespace

Reader::Reader(KafkaOptions options, ClientRole role, std::shared_ptr<OffsetAsker> asker)
    : options_(std::move(options)), role_(role), asker_(std::move(asker)) {}

Status Reader::Open(const ClientCallbacks& callbacks) {
  auto client = Client::Make(options_, role_, callbacks);
  if (!client) return std::unexpected(std::move(client).error());
  client_ = std::move(*client);
  started_.clear();
  for (auto& topic : topics_) topic.slots.clear();
  dead_.reset();
  ran_dry_ = false;
  return {};
}

Polled Reader::Poll(Duration timeout) {
  if (dead_) return {.kind = dead_->kind, .error = dead_->error};
  MessagePtr message(rd_kafka_consumer_poll(client_->get(), 0));
  if (message == nullptr) {
    // So much that the queue may have been full since.
    const int64_t queue_bytes =
        role_ == ClientRole::kChangelog ? options_.restore_queue_bytes : options_.input_queue_bytes;
    if (taken_bytes_ >= queue_bytes / 2) Nudge();
    message.reset(rd_kafka_consumer_poll(client_->get(), ToMs(timeout)));
  }
  if (message == nullptr) {
    ran_dry_ = ran_dry_ || rd_kafka_last_error() ==
                               RD_KAFKA_RESP_ERR__TIMED_OUT;  // else a callback cut it short
    return {};
  }
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) return TranslateError(*message);
  return Translate(std::move(message));
}

void Reader::Nudge() {
  taken_bytes_ = 0;
  std::vector<TopicPartition> all;
  for (const Started& one : started_) all.push_back(one.at);
  if (all.empty()) return;
  const auto list = MakePartitions(all, RD_KAFKA_OFFSET_END);
  (void)rd_kafka_offsets_for_times(client_->get(), list.get(), ToMs(kNudgeTimeout));
}

Polled Reader::Translate(MessagePtr message) {
  taken_bytes_ += static_cast<int64_t>(message->len + message->key_len);
  const Topic* topic = nullptr;
  Started* const started = Find(rd_kafka_topic_name(message->rkt), message->partition, &topic);
  if (started == nullptr || message->offset < started->next) return {};
  started->next = message->offset + 1;
  started->seen = true;
  Polled polled;
  polled.kind = Polled::Kind::kRecord;
  polled.record = Client::Record(std::move(message), topic->name);
  return polled;
}

Polled Reader::TranslateError(const rd_kafka_message_t& message) {
  switch (message.err) {
    case RD_KAFKA_RESP_ERR__PARTITION_EOF: {
      const Topic* topic = nullptr;
      Started* const started = Find(rd_kafka_topic_name(message.rkt), message.partition, &topic);
      if (started == nullptr || message.offset < started->next) return {};
      started->next = message.offset;
      started->seen = true;
      return {.kind = Polled::Kind::kEndOfPartition, .at = {started->at, message.offset}};
    }
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
      return OutOfRange(message);
    case RD_KAFKA_RESP_ERR__FATAL:
      return Fatal();
    default:
      break;
  }
  const std::string where =
      message.rkt != nullptr
          ? ToString(TopicPartition{rd_kafka_topic_name(message.rkt), message.partition})
          : "group '" + GroupId(options_) + "'";
  const std::string text = fmt::format("reading {}: {}", where, rd_kafka_message_errstr(&message));
  if (Passing(message.err)) {
    spdlog::warn("kafka {}: {}", client_->name(), text);
    return {};
  }
  const std::string name =
      message.rkt != nullptr ? rd_kafka_topic_name(message.rkt) : GroupId(options_);
  if (auto right = MissingRight(message.err, "Read", name))
    return Die(Polled::Kind::kFailed, std::move(*right));
  return Die(Polled::Kind::kFailed, {text, ExitCode::kTemporary});
}

// librdkafka reports this without a version, so it may belong to an assignment that is over: the
// log itself is asked whether the next offset exists.
Polled Reader::OutOfRange(const rd_kafka_message_t& message) {
  const Topic* topic = nullptr;
  const Started* const started =
      message.rkt != nullptr ? Find(rd_kafka_topic_name(message.rkt), message.partition, &topic)
                             : nullptr;
  if (started == nullptr) return {};
  const int64_t wanted = started->next;
  const auto ranges = asker_->Ranges({started->at}, kRangeTimeout);
  if (!ranges) {
    return Die(Polled::Kind::kFailed, Error(ranges.error())
                                          .Context(fmt::format("{}: {}", ToString(started->at),
                                                               rd_kafka_message_errstr(&message))));
  }
  const auto [begin, end] = ranges->front();
  if (wanted >= begin && wanted <= end) {
    spdlog::warn("kafka {}: {}: offset {} was called out of range but exists", client_->name(),
                 ToString(started->at), wanted);
    return {};  // if its fetcher is dead the watchdog sees it
  }
  Polled polled{.kind = Polled::Kind::kOffsetOutOfRange, .at = {started->at, wanted}};
  polled.error.code = ExitCode::kBroken;
  polled.error.message = wanted < begin ? fmt::format(
                                              "{}: the records from offset {} to {} are gone "
                                              "(retention, or the topic was made anew); the log "
                                              "now holds {} to {}",
                                              ToString(started->at), wanted, begin - 1, begin, end)
                                        : fmt::format(
                                              "{}: offset {} is beyond the log, which holds {} to "
                                              "{} (the topic was made anew, or records were "
                                              "lost by the brokers)",
                                              ToString(started->at), wanted, begin, end);
  return polled;
}

Polled Reader::Fatal() {
  std::array<char, 512> text{};
  const auto code = rd_kafka_fatal_error(client_->get(), text.data(), text.size());
  Error error{fmt::format("member '{}' of group '{}': {}: {}", WorkerId(options_),
                          GroupId(options_), ToString(code), text.data()),
              ExitCode::kTemporary};
  if (code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
    error.message += "; if this repeats, another process runs under the same `instance`";
    return Die(Polled::Kind::kFencedInstance, std::move(error));
  }
  return Die(Polled::Kind::kFailed, std::move(error));
}

Polled Reader::Die(Polled::Kind kind, Error error) {
  dead_ = Dead{kind, error};
  return {.kind = kind, .error = std::move(error)};
}

Status Reader::Start(const std::vector<Position>& positions) {
  const auto list = MakePartitions(positions);
  const auto code = rd_kafka_assign(client_->get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Fail(fmt::format("assigning {} partitions: {}", positions.size(), ToString(code)),
                ExitCode::kTemporary);
  }
  started_.clear();
  for (auto& topic : topics_) topic.slots.clear();
  for (const auto& [at, offset] : positions) {
    auto& slots = Intern(at.topic).slots;
    const auto partition = static_cast<size_t>(at.partition);
    if (slots.size() <= partition) slots.resize(partition + 1, -1);
    slots[partition] = static_cast<int>(started_.size());
    started_.push_back({at, offset});
  }
  return {};
}

Status Reader::StopAll(Stop how) {
  started_.clear();
  for (auto& topic : topics_) topic.slots.clear();
  const PartitionsPtr empty(how == Stop::kKeep ? rd_kafka_topic_partition_list_new(0) : nullptr);
  const auto code = rd_kafka_assign(client_->get(), empty.get());
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  return Fail(fmt::format("giving partitions back: {}", ToString(code)), ExitCode::kTemporary);
}

Reader::Topic& Reader::Intern(const std::string& name) {
  for (auto& topic : topics_) {
    if (topic.name == name) return topic;
  }
  return topics_.emplace_back(Topic{name, {}});
}

Reader::Started* Reader::Find(std::string_view topic, int32_t partition, const Topic** in) {
  for (const auto& one : topics_) {
    if (one.name != topic) continue;
    const auto at = static_cast<size_t>(partition);
    if (at >= one.slots.size() || one.slots[at] < 0) return nullptr;
    *in = &one;
    return &started_[static_cast<size_t>(one.slots[at])];
  }
  return nullptr;
}

}  // namespace heartbeatd
