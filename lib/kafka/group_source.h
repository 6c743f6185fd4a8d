// Private to this room: the group source's state.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kafka/handle.h"
#include "kafka/prober.h"
#include "kafka/reader.h"
#include "kafka/watchdog.h"
#include "shard/io.h"

namespace heartbeatd {

//            kAssigned                    kRevoked, kLost
//   kNothing ---------> kOurs  ------------------------> kTakenBack
//      ^                 | Start(), Stop() any number        |
//      |                 | of times                          |
//      +-----------------+--------------- Stop() ------------+
//
// Taken-back partitions are given back by Stop(), not inside librdkafka's callback: it stays in
// WAIT_UNASSIGN_CALL, heartbeats included, until rd_kafka_assign(NULL) is called from any thread.
class GroupSource final : public EventSource {
 public:
  GroupSource(const KafkaOptions& options, std::shared_ptr<Prober> prober, const Clock& clock);
  ~GroupSource() override;

  Polled Poll(Duration timeout) override;
  Status Start(const std::vector<Position>& positions) override;
  Status Stop() override;
  Result<std::vector<std::optional<int64_t>>> CommittedOffsets(
      const std::vector<TopicPartition>& of, Duration timeout) override;
  Result<std::vector<OffsetRange>> Offsets(const std::vector<TopicPartition>& of,
                                           Duration timeout) override;
  std::optional<ConfirmedEnd> LatestEnd(const TopicPartition& of) override;
  bool IsMember() override;
  Status Reopen() override;

 private:
  enum class Holding { kNothing, kOurs, kTakenBack };

  void OnRebalance(rd_kafka_resp_err_t what, const rd_kafka_topic_partition_list_t& partitions);
  void OnAssign(const rd_kafka_topic_partition_list_t& partitions);
  void OnRevoke(const rd_kafka_topic_partition_list_t& partitions);
  std::string MemberId();
  void StopWatching();
  // The partition whose fetcher seems dead, as an error.
  std::optional<Error> CheckFetchers();
  [[nodiscard]] bool Behind(const Reader::Started& started) const;
  bool PinnedByTransaction(const Reader::Started& started);

  // Constant after construction.
  const std::shared_ptr<Prober> prober_;
  const Clock& clock_;

  Reader reader_;
  Holding holding_ = Holding::kNothing;
  std::deque<Polled> events_;  // queued by callbacks, not yet polled

  // What the prober watches for us, and since which of its rounds.
  std::vector<TopicPartition> watched_;
  uint64_t first_round_ = 0;

  Watchdog watchdog_;
  Duration next_tick_{0};
  int polls_until_check_ = 0;
  std::optional<Error> failed_;  // the watchdog's verdict, repeated until Reopen()
};

}  // namespace heartbeatd
