// Where the started partitions end, asked of their leaders four times a second: the proof that lets
// wall time move a shard's clock although no event comes. One per process.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "kafka/client.h"
#include "shard/io.h"

namespace heartbeatd {

class OffsetAsker;

// One thread asks for the ends of all watched partitions in one call, read_uncommitted. The wall
// time of an answer is noted before the question is sent, so whatever was written before it lies
// below the answered end. No answer (broker frozen, leader unknown): nothing is published and the
// old answer, with its old time, stays.
//
// Thread-safe. `clock` must be thread-safe and outlive the prober. The destructor waits for a
// question that is under way, at most kAskTimeout.
class Prober {
 public:
  static constexpr Duration kInterval{250};
  static constexpr Duration kAskTimeout{2'000};

  static Result<std::shared_ptr<Prober>> Make(const KafkaOptions& options, const Clock& clock,
                                              Duration interval = kInterval);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  struct Answer {
    ConfirmedEnd confirmed;
    uint64_t round = 0;
  };

  // Starts asking for these partitions. Returns the first round whose question is sent from now on:
  // an answer of an older round may belong to whoever watched the partition before. Several may
  // watch the same partition; each Watch needs its Unwatch.
  uint64_t Watch(const std::vector<TopicPartition>& partitions);
  void Unwatch(const std::vector<TopicPartition>& partitions);

  // The newest answer for a watched partition. Never blocks on the network.
  [[nodiscard]] std::optional<Answer> Latest(const TopicPartition& of) const;

  // The client behind the questions, for other users in this room.
  [[nodiscard]] const std::shared_ptr<OffsetAsker>& asker() const;

 private:
  struct Impl;
  explicit Prober(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace heartbeatd
