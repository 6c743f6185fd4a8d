// Private to this room: where logs begin and end, as their leaders say now.
//
// Asked through offsets_for_times on a read_uncommitted client, so that the end is the high
// watermark. The obvious call, query_watermark_offsets, ignores its timeout and answers the last
// stable offset, which an open transaction holds back.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "kafka/client.h"
#include "kafka/handle.h"
#include "shard/io.h"

namespace heartbeatd {

enum class LogEdge : int64_t { kBegin = -2, kEnd = -1 };

// Thread-safe. Shared by the prober and the sources of the process: every client costs threads.
class OffsetAsker {
 public:
  using Answers = std::vector<std::optional<int64_t>>;

  // kAsk, or kAskStable: then the ends are the last stable offsets.
  static Result<std::shared_ptr<OffsetAsker>> Make(const KafkaOptions& options,
                                                   ClientRole role = ClientRole::kAsk);

  // One answer per question, in order; nothing where no leader answered. Fails if nobody did.
  Result<Answers> Ends(const std::vector<TopicPartition>& of, Duration timeout);
  // Both edges; fails unless every partition was answered for within `timeout`.
  Result<std::vector<OffsetRange>> Ranges(const std::vector<TopicPartition>& of, Duration timeout);
  // Lets librdkafka report what it has queued for the log. Call now and then.
  void Serve();

 private:
  explicit OffsetAsker(ClientPtr client) : client_(std::move(client)) {}

  Result<Answers> Ask(const std::vector<TopicPartition>& of, LogEdge edge, Duration timeout);
  Result<std::vector<int64_t>> Insist(const std::vector<TopicPartition>& of, LogEdge edge,
                                      const Deadline& deadline);
  void LearnLeaders(const std::vector<TopicPartition>& of, Duration timeout);

  const ClientPtr client_;

  std::mutex mutex_;
  std::map<std::string, TopicPtr> topics_;  // guarded by mutex_; goes before client_ does
};

}  // namespace heartbeatd
