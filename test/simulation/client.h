// The two seams to the broker as a simulated process has them: shard/io.h's EventSource and
// Committer over Broker, with all that librdkafka and a network do in between.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "shard/io.h"
#include "simulation/broker.h"
#include "simulation/surroundings.h"

namespace heartbeatd::sim {

// Reads by assignment: what group member and changelog reader have in common.
class Reader {
 public:
  explicit Reader(Broker& broker) : broker_(broker) {}

  void Start(const std::vector<Position>& positions);
  // A record or an end of partition of any started partition; read_committed.
  Polled Poll(Random* random);
  [[nodiscard]] bool IsStarted(const TopicPartition& at) const { return started_.contains(at); }

 private:
  struct Cursor {
    int64_t next = 0;
    int64_t end_told = -1;  // for which end of partition has been told
  };

  Broker& broker_;
  std::map<TopicPartition, Cursor> started_;
  std::set<std::string> topics_;  // records name their topic for as long as there is a reader
};

// The changelog's reader, without a group.
class ChangelogReader final : public EventSource {
 public:
  ChangelogReader(Broker& broker, Surroundings& world)
      : broker_(broker), world_(world), reader_(broker) {}

  Polled Poll(Duration timeout) override;
  Status Start(const std::vector<Position>& positions) override;
  Status Stop() override { return Start({}); }
  Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& of, Duration timeout) override;
  Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                           Duration timeout) override;
  std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& of) override;
  bool IsMember() override { return false; }
  Status Reopen() override { return Start({}); }

 private:
  Broker& broker_;
  Surroundings& world_;
  Reader reader_;
};

// The input's reader, a member of the group.
//
//   kOut --Join--> kJoining --all ready--> kMember --rebalance, Stop(), Rejoin--> kJoining
//     ^                                       |
//     '------- unknown to the group ----------'
class Member final : public EventSource {
 public:
  Member(std::string instance, Broker& broker, const Clock& clock, Surroundings& world)
      : clock_(clock), broker_(broker), world_(world), reader_(broker), who_{std::move(instance)} {}

  // What librdkafka's own thread does while the process is alive and not frozen: heartbeats.
  void Background();

  Polled Poll(Duration timeout) override;
  Status Start(const std::vector<Position>& positions) override;
  Status Stop() override;
  Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& of, Duration timeout) override;
  Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                           Duration timeout) override;
  std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& of) override;
  bool IsMember() override { return state_ == State::kMember; }
  Status Reopen() override;

  [[nodiscard]] const Membership& who() const { return who_; }

  // All input topics; given by whoever makes the member.
  std::vector<std::string> topics;

 private:
  enum class State : uint8_t { kOut, kJoining, kMember, kFenced };
  enum class Holding : uint8_t { kNothing, kOurs, kTakenBack };

  void Assigned();
  void TakeBack(Polled::Kind kind, State then);
  [[nodiscard]] std::vector<TopicPartition> Partitions() const;

  const Clock& clock_;
  Broker& broker_;
  Surroundings& world_;
  Reader reader_;
  Membership who_;
  State state_ = State::kOut;
  Holding holding_ = Holding::kNothing;
  std::deque<Polled> events_;

  // The prober's newest answers.
  std::map<TopicPartition, ConfirmedEnd> ends_;
  Duration asked_{0};
};

// What is behind a GroupGeneration here.
struct Generation {
  Membership who;
  const Member& of;
};

// A transactional producer. Records and requests may be lost, replies too; a commit whose reply is
// lost may still be on its way when the next producer of this name comes.
class Producer final : public Committer {
 public:
  Producer(std::string id, std::string changelog, Broker& broker, Surroundings& world)
      : id_(std::move(id)), changelog_(std::move(changelog)), broker_(broker), world_(world) {}

  Status Open() override;
  TxResult Begin() override;
  TxResult Produce(const OutputRecord& record) override;
  TxResult Flush() override;
  std::optional<int64_t> ChangelogOffset(int32_t partition) override;
  TxResult SendOffsets(const std::vector<Position>& next,
                       const GroupGeneration& generation) override;
  TxResult Commit() override;
  TxResult Abort() override;

  // The changelog refuses records whose key begins like this, as it would one that is too large.
  static constexpr std::string_view kRefusedKey = "cpoison";

 private:
  struct Record {
    TopicPartition at;
    Entry entry;
  };

  TxResult Judge(Broker::Answer answer);
  TxResult Deliver(const Record& record);
  // Sends what is queued, up to `count`.
  TxResult Send(size_t count);

  const std::string id_;
  const std::string changelog_;
  Broker& broker_;
  Surroundings& world_;
  std::optional<ProducerName> name_;
  std::deque<Record> queue_;
  bool eager_ = false;  // records leave at once, not at Flush()
  bool lost_ = false;   // a record was refused or lost: only Abort() or Open() helps
  std::map<int32_t, int64_t> changelog_offsets_;
};

}  // namespace heartbeatd::sim
