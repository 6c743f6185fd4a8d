#include "kafka/committer.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <utility>

#include "kafka/producer.h"

namespace heartbeatd {
namespace {

// How long one call into librdkafka may take before the bound around it is looked at.
constexpr Duration kSlice{2'000};
constexpr Duration kMetadataTimeout{2'000};

// A newer producer has our transactional id (or the coordinator bumped the epoch because our
// transaction was too old, which looks the same).
bool FencedProducer(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR__FENCED || code == RD_KAFKA_RESP_ERR_PRODUCER_FENCED ||
         code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH;
}

// The group refuses the offsets because of who sends them. Must not look like kAbort: a worker
// takes repeated aborts for a poisonous record.
bool FencedMember(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
         code == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID ||
         code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID;
}

// Calls `call(timeout)` until it succeeds, fails for good, or `bound` is over.
template <typename Call>
KafkaErrorPtr Insist(Duration bound, const Call& call) {
  const Deadline deadline(bound);
  for (;;) {
    KafkaErrorPtr error(call(ToMs(std::clamp(deadline.Left(), Duration(100), kSlice))));
    if (error == nullptr || rd_kafka_error_is_retriable(error.get()) == 0 || deadline.Passed())
      return error;
  }
}

}  // namespace

std::unique_ptr<Committer> MakeCommitter(const KafkaOptions& options) {
  return std::make_unique<TransactionalProducer>(options);
}

void TransactionalProducer::Close() {
  topics_.clear();
  client_.reset();
  Forget();
}

void TransactionalProducer::Forget() {
  in_flight_ = 0;
  failed_.reset();
  refused_ = false;
  changelog_offsets_.clear();
}

Status TransactionalProducer::Open() {
  Close();
  ClientCallbacks callbacks{.owner = this};
  callbacks.delivered = [](void* owner, const rd_kafka_message_t* message) {
    static_cast<TransactionalProducer*>(owner)->Delivered(*message);
  };
  auto client = Client::Make(options_, ClientRole::kProducer, callbacks);
  if (!client) return std::unexpected(std::move(client).error());
  client_ = std::move(*client);
  if (auto ready = InitTransactions(); !ready) {
    Close();
    return ready;
  }
  LearnTopics();
  return {};
}

Status TransactionalProducer::InitTransactions() {
  const auto error = Insist(options_.transaction_timeout + kCommitterGrace,
                            [&](int ms) { return rd_kafka_init_transactions(client_->get(), ms); });
  if (error == nullptr) return {};
  const auto code = rd_kafka_error_code(error.get());
  if (auto right = MissingRight(code, "Write", WorkerId(options_)))
    return std::unexpected(std::move(*right));
  return Fail(fmt::format("starting transactions as '{}': {} ({})", WorkerId(options_),
                          rd_kafka_error_string(error.get()), rd_kafka_err2name(code)),
              ExitCode::kTemporary);
}

// librdkafka asks for a topic's leaders when the first record comes, and then looks again a second
// later: the first commit would stall for it.
void TransactionalProducer::LearnTopics() {
  for (const auto& topic : options_.output_topics) Topic(topic);
  if (!options_.changelog_topic.empty()) Topic(options_.changelog_topic);
  if (topics_.empty()) return;
  const rd_kafka_metadata_t* metadata = nullptr;
  const auto code =
      rd_kafka_metadata(client_->get(), 0, nullptr, &metadata, ToMs(kMetadataTimeout));
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
    rd_kafka_metadata_destroy(metadata);
  } else {
    spdlog::warn("kafka {}: asking for the output topics: {}", client_->name(), ToString(code));
  }
}

TxResult TransactionalProducer::NotOpen() const {
  return {TxResult::Kind::kAmbiguous,
          {fmt::format("producer '{}' is not open", WorkerId(options_))}};
}

TxResult TransactionalProducer::Begin() {
  if (client_ == nullptr) return NotOpen();
  Forget();
  deadline_ = Deadline(options_.transaction_timeout);
  return Judge("beginning a transaction", KafkaErrorPtr(rd_kafka_begin_transaction(client_->get())),
               TxResult::Kind::kAmbiguous);
}

TxResult TransactionalProducer::SendOffsets(const std::vector<Position>& next,
                                            const GroupGeneration& generation) {
  if (client_ == nullptr) return NotOpen();
  if (failed_) return *failed_;
  if (generation == nullptr)
    return {TxResult::Kind::kFenced, {"no member of the group, so no offsets to send"}};
  const auto list = MakePartitions(next);
  const auto* const metadata =
      static_cast<const rd_kafka_consumer_group_metadata_t*>(generation.get());
  auto error = Insist(deadline_.Left(), [&](int ms) {
    return rd_kafka_send_offsets_to_transaction(client_->get(), list.get(), metadata, ms);
  });
  return Judge(fmt::format("sending the offsets of group '{}'", GroupId(options_)),
               std::move(error), TxResult::Kind::kAbort);
}

// librdkafka asks for an abort also when the coordinator's answer was odd or the transaction failed
// locally while the commit was under way ("EndTxn(commit) may have succeeded"), so once the commit
// has been called nothing but success is certain.
TxResult TransactionalProducer::Commit() {
  if (client_ == nullptr) return NotOpen();
  if (failed_) return *failed_;
  auto error = Insist(deadline_.Left() + kCommitterGrace,
                      [&](int ms) { return rd_kafka_commit_transaction(client_->get(), ms); });
  return Judge("committing", std::move(error), TxResult::Kind::kAmbiguous);
}

TxResult TransactionalProducer::Abort() {
  if (client_ == nullptr) return NotOpen();
  auto error = Insist(kCommitterGrace,
                      [&](int ms) { return rd_kafka_abort_transaction(client_->get(), ms); });
  const bool refused = refused_;
  Forget();
  if (error != nullptr || !refused)
    return Judge("aborting", std::move(error), TxResult::Kind::kAmbiguous);
  // librdkafka leaves the gap, and the next transaction would fail of it, whatever is in it.
  if (auto opened = Open(); !opened) return {TxResult::Kind::kAmbiguous, std::move(opened).error()};
  return {};
}

TxResult TransactionalProducer::Judge(std::string doing, KafkaErrorPtr error,
                                      TxResult::Kind otherwise) const {
  if (error == nullptr) return {};
  return Judge({.doing = std::move(doing),
                .code = rd_kafka_error_code(error.get()),
                .text = rd_kafka_error_string(error.get()),
                .otherwise = otherwise});
}

TxResult TransactionalProducer::Judge(const Mishap& mishap) const {
  std::array<char, 512> fatal_text{};
  const auto fatal = rd_kafka_fatal_error(client_->get(), fatal_text.data(), fatal_text.size());
  TxResult result{mishap.otherwise, {}};
  if (FencedProducer(mishap.code) || FencedProducer(fatal) || FencedMember(mishap.code)) {
    result.kind = TxResult::Kind::kFenced;
  } else if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR) {
    result.kind = TxResult::Kind::kAmbiguous;
  }
  if (auto right = Right(mishap)) {
    result.error = std::move(*right).Context(mishap.doing);
    return result;
  }
  result.error = {fmt::format("{} as '{}': {} ({})", mishap.doing, WorkerId(options_), mishap.text,
                              rd_kafka_err2name(mishap.code)),
                  ExitCode::kTemporary};
  if (fatal != RD_KAFKA_RESP_ERR_NO_ERROR && fatal != mishap.code) {
    result.error.message += fmt::format("; the producer is broken: {}", fatal_text.data());
  }
  return result;
}

std::optional<Error> TransactionalProducer::Right(const Mishap& mishap) const {
  switch (mishap.code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
      return MissingRight(mishap.code, mishap.topic_right,
                          mishap.topic.empty()
                              ? fmt::format("{}", fmt::join(options_.input_topics, ", "))
                              : mishap.topic);
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
      return MissingRight(mishap.code, "Read", GroupId(options_));
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return MissingRight(mishap.code, "Write", WorkerId(options_));
    default:
      return MissingRight(mishap.code, "IdempotentWrite", "");
  }
}

}  // namespace heartbeatd
