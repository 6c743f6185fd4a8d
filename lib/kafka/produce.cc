// The committer's records: handing them to librdkafka and learning what became of them.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kafka/producer.h"

namespace heartbeatd {
namespace {

constexpr Duration kQueueFullPause{10};

// librdkafka takes data it does not change through pointers to void.
void* Bytes(const std::optional<std::string_view>& text) {
  // A present but empty value must not turn into a tombstone: any non-null pointer will do.
  static constexpr char kEmpty = 0;
  if (!text) return nullptr;
  return const_cast<char*>(text->data() != nullptr ? text->data() : &kEmpty);
}

// Errors that are the record's own: sending it again will not help.
bool BadRecord(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
      return true;
    default:
      return false;
  }
}

rd_kafka_headers_t* ToHeaders(const std::vector<Header>& headers) {
  auto* const list = rd_kafka_headers_new(headers.size());
  for (const auto& [key, value] : headers) {
    rd_kafka_header_add(list, key.data(), static_cast<ssize_t>(key.size()), value.data(),
                        static_cast<ssize_t>(value.size()));
  }
  return list;
}

}  // namespace

rd_kafka_topic_t* TransactionalProducer::Topic(std::string_view name) {
  const auto found = topics_.find(name);
  if (found != topics_.end()) return found->second.get();
  TopicPtr topic(rd_kafka_topic_new(client_->get(), std::string(name).c_str(), nullptr));
  return topics_.emplace(std::string(name), std::move(topic)).first->second.get();
}

rd_kafka_resp_err_t TransactionalProducer::Enqueue(const OutputRecord& record,
                                                   rd_kafka_topic_t* topic) {
  // Not cleared first: that was most of what this function cost, for every record.
  std::array<rd_kafka_vu_t, 6> fields;  // NOLINT(cppcoreguidelines-pro-type-member-init)
  size_t count = 0;
  const auto add = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    fields[count].vtype = type;
    return fields[count++];
  };
  add(RD_KAFKA_VTYPE_RKT).u.rkt = topic;
  add(RD_KAFKA_VTYPE_PARTITION).u.i32 = record.partition.value_or(RD_KAFKA_PARTITION_UA);
  add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
  add(RD_KAFKA_VTYPE_KEY).u.mem = {Bytes(record.key), record.key ? record.key->size() : 0};
  add(RD_KAFKA_VTYPE_VALUE).u.mem = {Bytes(record.value), record.value ? record.value->size() : 0};
  rd_kafka_headers_t* headers = nullptr;
  if (record.headers != nullptr && !record.headers->empty()) {
    headers = ToHeaders(*record.headers);
    add(RD_KAFKA_VTYPE_HEADERS).u.headers = headers;
  }
  const KafkaErrorPtr error(rd_kafka_produceva(client_->get(), fields.data(), count));
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  if (headers != nullptr)
    rd_kafka_headers_destroy(headers);  // librdkafka owns them only on success
  return rd_kafka_error_code(error.get());
}

TxResult TransactionalProducer::Produce(const OutputRecord& record) {
  if (client_ == nullptr) return NotOpen();
  if (failed_) return *failed_;
  rd_kafka_topic_t* const topic = Topic(record.topic);
  for (;;) {
    const auto code = topic != nullptr ? Enqueue(record, topic) : rd_kafka_last_error();
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++in_flight_;
      return {};
    }
    if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL || deadline_.Passed()) {
      const size_t bytes =
          (record.key ? record.key->size() : 0) + (record.value ? record.value->size() : 0);
      failed_ = Judge({.doing = fmt::format("producing {} bytes to '{}'", bytes, record.topic),
                       .code = code,
                       .text = rd_kafka_err2str(code),
                       .topic_right = "Write",
                       .topic = std::string(record.topic)});
      failed_->bad_record = failed_->kind == TxResult::Kind::kAbort && BadRecord(code);
      return *failed_;
    }
    rd_kafka_poll(client_->get(), ToMs(kQueueFullPause));
    if (failed_) return *failed_;
  }
}

// Called back from within rd_kafka_poll() and rd_kafka_flush(), on the worker's thread.
void TransactionalProducer::Delivered(const rd_kafka_message_t& message) {
  --in_flight_;
  const char* const topic = rd_kafka_topic_name(message.rkt);
  if (message.err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    // No offset comes with a record that had been acknowledged before, unheard.
    if (topic == options_.changelog_topic && message.offset >= 0) {
      auto& highest =
          changelog_offsets_.try_emplace(message.partition, message.offset).first->second;
      highest = std::max(highest, message.offset);
    }
    return;
  }
  refused_ = refused_ || message.err > RD_KAFKA_RESP_ERR_NO_ERROR;  // librdkafka's own are negative
  if (failed_) return;
  failed_ = Judge(Cause(
      {.doing = fmt::format("producing {} bytes to '{}'", message.key_len + message.len, topic),
       .code = message.err,
       .text = rd_kafka_err2str(message.err),
       .topic_right = "Write",
       .topic = topic}));
  failed_->bad_record = failed_->kind == TxResult::Kind::kAbort && BadRecord(message.err);
}

TransactionalProducer::Mishap TransactionalProducer::Cause(Mishap mishap) const {
  if (mishap.code != RD_KAFKA_RESP_ERR__PURGE_QUEUE &&
      mishap.code != RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
    return mishap;
  // librdkafka has no question for it, but every call that is out of place answers with the reason.
  const KafkaErrorPtr why(rd_kafka_begin_transaction(client_->get()));
  if (why == nullptr || rd_kafka_error_txn_requires_abort(why.get()) == 0) return mishap;
  mishap.code = rd_kafka_error_code(why.get());
  mishap.text = rd_kafka_error_string(why.get());
  std::vector<std::string> topics = options_.output_topics;  // it may be about any of them
  topics.push_back(options_.changelog_topic);
  mishap.topic = fmt::format("{}", fmt::join(topics, ", "));
  return mishap;
}

TxResult TransactionalProducer::Flush() {
  if (client_ == nullptr) return NotOpen();
  auto code = rd_kafka_flush(client_->get(), ToMs(deadline_.Left()));
  if (failed_) return *failed_;
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && in_flight_ == 0) return {};
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = RD_KAFKA_RESP_ERR__STATE;  // a report is missing
  failed_ = Judge({.doing = fmt::format("waiting for {} records to be acknowledged", in_flight_),
                   .code = code,
                   .text = rd_kafka_err2str(code)});
  return *failed_;
}

std::optional<int64_t> TransactionalProducer::ChangelogOffset(int32_t partition) {
  const auto found = changelog_offsets_.find(partition);
  if (found == changelog_offsets_.end()) return {};
  return found->second;
}

}  // namespace heartbeatd
