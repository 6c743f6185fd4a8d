// What comes of a simulated world, as its subscribers see it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "base/time.h"
#include "shard/io.h"
#include "simulation/log.h"

namespace heartbeatd::sim {

// What a read_committed subscriber sees, by what identifies it, with how often.
struct Outcome {
  std::map<std::string, int> alerts;  // payloads but for late_by
  std::map<std::tuple<std::string, int32_t, int64_t>, int>
      dead_letters;                                              // reason, partition, offset
  std::map<int32_t, std::map<std::string, std::string>> states;  // partition, customer, bytes
  // Of what was seen only, from the shards' records: partition, topic, next offset.
  std::map<int32_t, std::map<std::string, int64_t>> next;
};

// The payload without `late_by`, the one member that tells when somebody looked.
std::string WithoutLateBy(std::string payload);
// The `time` of an alert.
EventTime TimeOfAlert(const std::string& payload);

// What the topics `alerts`, `dead` and `changelog` hold. Alerts of a time after `until` are left
// out.
Outcome SeenIn(const std::map<TopicPartition, Log>& logs, EventTime until);

// Alerts and dead letters that are missing, there too often, or extra; for people, a few of each.
std::vector<std::string> DifferentRecords(const Outcome& expected, const Outcome& seen);
// The partitions whose states differ, likewise.
std::vector<std::string> DifferentStates(const Outcome& expected, const Outcome& seen);

}  // namespace heartbeatd::sim
