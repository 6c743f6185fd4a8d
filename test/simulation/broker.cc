#include "simulation/broker.h"

#include <algorithm>
#include <utility>

namespace heartbeatd::sim {

Broker::Broker(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      group_(options_.partitions, options_.session_timeout, options_.rebalance_timeout) {
  for (const std::string& topic : options_.topics) {
    for (int32_t p = 0; p < options_.partitions; ++p) logs_[{topic, p}];
  }
}

ProducerName Broker::InitTransactions(const std::string& id) {
  Transaction& transaction = transactions_[id];
  if (transaction.open) End(&transaction, false);
  return {id, ++transaction.epoch};
}

Broker::Answer Broker::Produce(const ProducerName& producer, const TopicPartition& at, Entry entry,
                               int64_t* offset) {
  Transaction& transaction = transactions_[producer.id];
  if (transaction.epoch != producer.epoch) return Answer::kFencedProducer;
  Begin(&transaction);
  entry.fate = Entry::Fate::kOpen;
  *offset = logs_.at(at).Append(std::move(entry));
  transaction.written[at].push_back(*offset);
  return Answer::kOk;
}

Broker::Answer Broker::SendOffsets(const ProducerName& producer, const std::vector<Position>& next,
                                   const Membership& who) {
  Transaction& transaction = transactions_[producer.id];
  if (transaction.epoch != producer.epoch) return Answer::kFencedProducer;
  // Kafka takes offsets from a producer that names no member: nothing fences it.
  if (!who.member.empty() && group_.Check(who) != Group::Answer::kOk) return Answer::kFencedMember;
  Begin(&transaction);
  for (const Position& position : next) transaction.offsets[position.at] = position.offset;
  return Answer::kOk;
}

Broker::Answer Broker::EndTransaction(const ProducerName& producer, bool commit) {
  Transaction& transaction = transactions_[producer.id];
  if (transaction.epoch != producer.epoch) return Answer::kFencedProducer;
  if (!transaction.open) return Answer::kNoTransaction;
  End(&transaction, commit);
  return Answer::kOk;
}

Broker::Stable Broker::CommittedOffset(const TopicPartition& at) const {
  for (const auto& [id, transaction] : transactions_) {
    if (transaction.offsets.contains(at)) return {.pending = true};
  }
  const auto it = committed_.find(at);
  return {.offset = it == committed_.end() ? std::nullopt : std::optional(it->second)};
}

void Broker::Tick(Random* random) {
  if (!deferred_.empty() && random->OneIn(4)) {
    (void)EndTransaction(deferred_.back(), true);  // refused if there is a newer epoch
    deferred_.pop_back();
  }
  const Duration now = clock_.Monotonic();
  for (auto& [id, transaction] : transactions_) {
    if (!transaction.open || now - transaction.began <= options_.transaction_timeout) continue;
    End(&transaction, false);
    ++transaction.epoch;
  }
  group_.Tick(now);
}

bool Broker::HasOpenTransactions() const {
  return std::any_of(transactions_.begin(), transactions_.end(),
                     [](const auto& transaction) { return transaction.second.open; });
}

void Broker::Begin(Transaction* transaction) const {
  if (transaction->open) return;
  transaction->open = true;
  transaction->began = clock_.Monotonic();
}

void Broker::End(Transaction* transaction, bool commit) {
  for (const auto& [at, offsets] : transaction->written)
    logs_.at(at).EndTransaction(offsets, commit);
  if (commit) {
    for (const auto& [at, offset] : transaction->offsets) committed_[at] = offset;
  }
  transaction->written.clear();
  transaction->offsets.clear();
  transaction->open = false;
}

}  // namespace heartbeatd::sim
