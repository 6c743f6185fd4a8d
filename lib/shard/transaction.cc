#include "shard/transaction.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "base/fault.h"

namespace heartbeatd {
namespace {

// What a dead letter may hold: the output topics take records of 1,000,000 bytes (kafka/admin.h),
// and ours come with headers of their own and with the record's frame.
constexpr size_t kDeadLetterBytesMax = 1'000'000 - 4096;

size_t BytesOf(const std::vector<Header>& headers) {
  size_t bytes = 0;
  for (const Header& header : headers) bytes += header.key.size() + header.value.size() + 16;
  return bytes;
}

class Transaction {
 public:
  Transaction(const OutputTopics& topics, Committer& committer)
      : topics_(topics), committer_(committer) {}

  TxResult Produce(Shard* shard) {
    for (const OutgoingAlert& alert : shard->outbox().alerts) {
      if (TxResult r = Send({.topic = topics_.alerts,
                             .key = alert.customer,
                             .value = alert.payload,
                             .headers = &alert_headers_});
          !r.ok())
        return r;
    }
    for (const DeadLetter& dead : shard->outbox().dead_letters) {
      if (TxResult r = ProduceDeadLetter(dead); !r.ok()) return r;
    }
    const int32_t partition = shard->options().partition;
    for (Customer* customer : shard->customers().uncommitted()) {
      const std::optional<std::string_view> value = shard->customers().Encode(customer);
      key_.assign(1, 'c');
      key_ += customer->id;
      if (TxResult r = Send(
              {.topic = topics_.changelog, .partition = partition, .key = key_, .value = value});
          !r.ok())
        return r;
    }
    // Last, so that whoever reads the log knows that nothing of this transaction follows.
    if (HB_MUTANT("meta-left-out")) return {};
    const std::string meta = EncodeMeta(shard->Meta());
    return Send({.topic = topics_.changelog,
                 .partition = partition,
                 .key = kChangelogMetaKey,
                 .value = meta});
  }

  [[nodiscard]] uint64_t records() const { return records_; }

 private:
  // An input record may be as large as a record can be. Whatever of it does not fit is left out:
  // refused by the broker, it would stop everything behind it.
  TxResult ProduceDeadLetter(const DeadLetter& dead) {
    std::optional<std::string_view> key = dead.record.key;
    std::vector<Header> headers = dead.record.Headers();
    std::optional<std::string_view> payload = dead.record.payload;
    if (key && key->size() > kDeadLetterBytesMax) key.reset();
    size_t bytes = key.value_or("").size();
    if (bytes + BytesOf(headers) > kDeadLetterBytesMax) headers.clear();
    bytes += BytesOf(headers);
    const bool wanted = topics_.dead_letter_payload && dead.reason != DeadLetterReason::kPoison;
    if (!wanted || bytes + payload.value_or("").size() > kDeadLetterBytesMax) payload = "";
    headers.push_back({"reason", std::string(NameOf(dead.reason))});
    headers.push_back({"source_topic", std::string(dead.record.topic)});
    headers.push_back({"source_partition", fmt::format("{}", dead.record.partition)});
    headers.push_back({"source_offset", fmt::format("{}", dead.record.offset)});
    return Send({.topic = topics_.dead_letters, .key = key, .value = payload, .headers = &headers});
  }

  TxResult Send(const OutputRecord& record) {
    ++records_;
    return committer_.Produce(record);
  }

  const OutputTopics& topics_;
  Committer& committer_;
  const std::vector<Header> alert_headers_ = {
      {"content-type", "application/cloudevents+json; charset=UTF-8"}};
  std::string key_;
  uint64_t records_ = 0;
};

}  // namespace

TransactionResult CommitShards(const std::vector<Shard*>& shards, const OutputTopics& topics,
                               const GroupGeneration& generation, Committer& committer) {
  TransactionResult out;
  Transaction transaction(topics, committer);
  const auto failed = [&](TxResult result) {
    out.result = std::move(result);
    out.records = transaction.records();
    return out;
  };
  HB_FAULT_POINT("commit.begin");
  if (TxResult r = committer.Begin(); !r.ok()) return failed(std::move(r));
  for (Shard* shard : shards) {
    if (TxResult r = transaction.Produce(shard); !r.ok()) return failed(std::move(r));
  }
  HB_FAULT_POINT("commit.produced");
  if (TxResult r = committer.Flush(); !r.ok()) return failed(std::move(r));
  HB_FAULT_POINT("commit.flushed");
  std::vector<Position> offsets;
  for (Shard* shard : shards) {
    const int32_t partition = shard->options().partition;
    const std::optional<int64_t> last = committer.ChangelogOffset(partition);
    if (!last) {
      return failed({TxResult::Kind::kAmbiguous,
                     {"the changelog's offset was not reported", ExitCode::kTemporary}});
    }
    out.positions.push_back(*last + 1);
    if (HB_MUTANT("timers-without-offsets") && !shard->HasMoved()) continue;
    // Also where only timers fired: nothing else fences a zombie.
    for (size_t i = 0; i < shard->options().topics.size(); ++i) {
      offsets.push_back({{shard->options().topics[i], partition}, shard->intake().next(i)});
    }
  }
  if (TxResult r = committer.SendOffsets(offsets, generation); !r.ok()) return failed(std::move(r));
  HB_FAULT_POINT("commit.offsets-sent");
  TxResult committed = committer.Commit();
  HB_FAULT_POINT("commit.committed");
  return failed(std::move(committed));
}

}  // namespace heartbeatd
