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

  // The first customer of each shard goes ahead of everything else: a partition has to be made part
  // of the transaction before records go there, and librdkafka asks for all at once that it
  // knows of by the time it asks.
  TxResult ProduceFirst(Shard* shard) {
    const auto first = shard->customers().Uncommitted(0);
    return first ? ProduceChange(shard, *first) : TxResult();
  }

  TxResult ProduceRest(Shard* shard) {
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
    for (size_t i = 1; const auto change = shard->customers().Uncommitted(i); ++i) {
      if (TxResult r = ProduceChange(shard, *change); !r.ok()) return r;
    }
    // Last, so that whoever reads the log knows that nothing of this transaction follows.
    if (HB_MUTANT("meta-left-out")) return {};
    const std::string meta = EncodeMeta(shard->Meta());
    return Send({.topic = topics_.changelog,
                 .partition = shard->options().partition,
                 .key = kChangelogMetaKey,
                 .value = meta});
  }

  [[nodiscard]] uint64_t records() const { return records_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

 private:
  TxResult ProduceChange(Shard* shard, const CustomerTable::Change& change) {
    key_.assign(1, 'c');
    key_ += change.id;
    return Send({.topic = topics_.changelog,
                 .partition = shard->options().partition,
                 .key = key_,
                 .value = change.value});
  }

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
    bytes_ += record.key.value_or("").size() + record.value.value_or("").size();
    return committer_.Produce(record);
  }

  const OutputTopics& topics_;
  Committer& committer_;
  const std::vector<Header> alert_headers_ = {
      {"content-type", "application/cloudevents+json; charset=UTF-8"}};
  std::string key_;
  uint64_t records_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

TxResult ProduceShards(const std::vector<Shard*>& shards, const OutputTopics& topics,
                       Committer& committer, Produced* produced) {
  Transaction transaction(topics, committer);
  HB_FAULT_POINT("commit.begin");
  if (TxResult r = committer.Begin(); !r.ok()) return r;
  for (Shard* shard : shards) {
    if (TxResult r = transaction.ProduceFirst(shard); !r.ok()) return r;
  }
  for (Shard* shard : shards) {
    if (TxResult r = transaction.ProduceRest(shard); !r.ok()) return r;
    const int32_t partition = shard->options().partition;
    produced->partitions.push_back(partition);
    if (HB_MUTANT("timers-without-offsets") && !shard->HasMoved()) continue;
    // Also where only timers fired: nothing else fences a zombie.
    for (size_t i = 0; i < shard->options().topics.size(); ++i)
      produced->offsets.push_back(
          {{shard->options().topics[i], partition}, shard->intake().next(i)});
  }
  produced->records = transaction.records();
  produced->bytes = transaction.bytes();
  HB_FAULT_POINT("commit.produced");
  return {};
}

TransactionResult FinishTransaction(const Produced& produced, const GroupGeneration& generation,
                                    Committer& committer) {
  if (TxResult r = committer.Flush(); !r.ok()) return {std::move(r), {}};
  HB_FAULT_POINT("commit.flushed");
  TransactionResult out;
  for (const int32_t partition : produced.partitions) {
    const std::optional<int64_t> last = committer.ChangelogOffset(partition);
    if (!last) {
      return {{TxResult::Kind::kAmbiguous,
               {"the changelog's offset was not reported", ExitCode::kTemporary}},
              {}};
    }
    out.positions.push_back(*last + 1);
  }
  // Not before the flush: what comes right after the last commit the broker may answer with
  // CONCURRENT_TRANSACTIONS, and librdkafka then waits longer for the offsets than for partitions.
  if (TxResult r = committer.SendOffsets(produced.offsets, generation); !r.ok())
    return {std::move(r), {}};
  HB_FAULT_POINT("commit.offsets-sent");
  out.result = committer.Commit();
  HB_FAULT_POINT("commit.committed");
  return out;
}

// ---- CommitTail --------------------------------------------------------------------------------

CommitTail::CommitTail(Where where) : where_(where) {
  if (where_ == Where::kOwnThread) thread_ = std::thread([this] { Work(); });
}

CommitTail::~CommitTail() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void CommitTail::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return ends_ || finish_; });
    if (!finish_) return;
    lock.unlock();
    TransactionResult result = finish_();
    lock.lock();
    finish_ = nullptr;
    result_ = std::move(result);
    changed_.notify_all();
  }
}

void CommitTail::Start(std::function<TransactionResult()> finish) {
  running_ = true;
  {
    const std::lock_guard lock(mutex_);
    finish_ = std::move(finish);
  }
  changed_.notify_all();
}

std::optional<TransactionResult> CommitTail::Look(Duration wait) {
  if (!running_) return std::nullopt;
  std::unique_lock lock(mutex_);
  if (where_ == Where::kNextLook) {
    const std::function<TransactionResult()> finish = std::exchange(finish_, nullptr);
    running_ = false;
    lock.unlock();
    return finish();
  }
  if (!changed_.wait_for(lock, wait, [this] { return result_.has_value(); })) return std::nullopt;
  running_ = false;
  return std::exchange(result_, std::nullopt);
}

TransactionResult CommitTail::Wait() {
  constexpr Duration kLong = std::chrono::hours(1);  // FinishTransaction() has bounds of its own
  while (true) {
    if (std::optional<TransactionResult> result = Look(kLong)) return *std::move(result);
  }
}

}  // namespace heartbeatd
