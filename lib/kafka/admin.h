// What happens with the broker before anything else: is it there, are the topics, do they fit.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "kafka/client.h"

namespace heartbeatd {

struct Prepared {
  std::string cluster_id;
  int32_t partitions = 0;  // of every input topic and of the changelog
  // For how long the changelog keeps tombstones: a state that was last in step with it longer ago
  // may hold customers that have been erased since.
  Duration changelog_delete_retention{0};
  std::vector<std::string> created;  // topics
};

// The smallest limit that a topic must put on its records.
inline constexpr int64_t kRecordBytes = 1'000'000;

// Waits for a broker up to options.startup_timeout (kTemporary when none came), then checks the
// topics, and creates missing ones if options.create_topics: outputs and changelog with as many
// partitions as the inputs; an input with as many as the other inputs, or the broker's default if
// there is none to go by. Replication is always the broker's default. Topics that exist are never
// changed: what does not fit is an error (kConfig) that names the command.
//
// Safe to run in many processes at once. Returns within a second when `stop` becomes true.
Result<Prepared> ConnectAndPrepare(const KafkaOptions& options, const std::atomic<bool>& stop);

}  // namespace heartbeatd
