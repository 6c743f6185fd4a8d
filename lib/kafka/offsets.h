// Private to this room: where logs begin and end, as their leaders say now.
//
// Asked through offsets_for_times on a read_uncommitted client, so that the end is the high
// watermark. The obvious call, query_watermark_offsets, ignores its timeout and answers the last
// stable offset, which an open transaction holds back.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "kafka/client.h"
#include "kafka/handle.h"
#include "shard/io.h"

namespace heartbeatd {

enum class LogEdge : int64_t { kBegin = -2, kEnd = -1 };

// One answer per question, in order; nothing where no leader answered. `rk` decides the isolation:
// the end is the last stable offset if it reads committed. Fails if nobody answered at all.
Result<std::vector<std::optional<int64_t>>> AskLogEdge(rd_kafka_t* rk, const std::vector<TopicPartition>& of,
                                                       LogEdge edge, Duration timeout);

// Thread-safe. Shared by the prober and the sources of the process: every client costs threads.
class OffsetAsker {
 public:
  static Result<std::shared_ptr<OffsetAsker>> Make(const KafkaOptions& options);

  [[nodiscard]] Result<std::vector<std::optional<int64_t>>> Ends(const std::vector<TopicPartition>& of,
                                                                 Duration timeout) const;
  // Both edges; fails unless every partition was answered for within `timeout`.
  [[nodiscard]] Result<std::vector<OffsetRange>> Ranges(const std::vector<TopicPartition>& of, Duration timeout) const;
  // Lets librdkafka report what it has queued for the log. Call now and then.
  void Serve() const;

 private:
  explicit OffsetAsker(ClientPtr client) : client_(std::move(client)) {}

  ClientPtr client_;
};

}  // namespace heartbeatd
