// What every client of this room is configured with: which broker, which names, which librdkafka
// properties. Knows nothing of what the clients are for.
//
// The exactly-once protocol rests on a handful of librdkafka properties. CheckProperties() is the
// one place that says which; `heartbeatd check` calls it without a broker.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace heartbeatd {

// Plain data, copied into every client that is made from it.
struct KafkaOptions {
  std::string brokers;                            // host:port, comma separated
  std::map<std::string, std::string> properties;  // the user's own, passed through to librdkafka
  std::string app;                                // group id, and the first part of every name
  std::string instance;                           // unique among the processes of one app
  int worker = 0;                                 // unique within the process
  std::vector<std::string> input_topics;          // what the group subscribes to
  std::string changelog_topic;
  std::vector<std::string> output_topics;  // alerts, dead letters: what else is produced to

  bool create_topics = true;  // make what is missing at start, or say how to

  Duration session_timeout{45'000};  // a member silent for so long is dropped by the group
  Duration max_poll_interval{
      300'000};  // a worker that does not Poll() for so long leaves the group
  Duration transaction_timeout{10'000};  // the coordinator aborts older transactions
  Duration startup_timeout{60'000};      // how long to wait for a broker at start

  int64_t input_queue_bytes = 64 << 20;    // fetched but not yet polled, per group source
  int64_t restore_queue_bytes = 64 << 20;  // the same of a changelog source
  int64_t output_queue_bytes = 64 << 20;   // produced but not yet acknowledged, per committer
};

std::string GroupId(const KafkaOptions& options);
// group.instance.id and transactional.id of one worker: "<app>-<instance>-<worker>".
std::string WorkerId(const KafkaOptions& options);

struct PropertyProblem {
  std::string key;
  std::string reason;  // one sentence, naming the cure where there is one
};

// Every property that must not be set by a user, does not exist in this librdkafka, or has a value
// that it refuses; in the order of the keys. Needs no broker.
std::vector<PropertyProblem> CheckProperties(const std::map<std::string, std::string>& properties);

// Combinations that are known not to work with the linked librdkafka (or with `version`, in its own
// hexadecimal form, 0x020601ff for 2.6.1): worth a line in the log, no reason to refuse.
std::vector<PropertyProblem> PropertyWarnings(const std::map<std::string, std::string>& properties);
std::vector<PropertyProblem> PropertyWarnings(const std::map<std::string, std::string>& properties,
                                              int version);

// The linked librdkafka's version: "2.0.2".
std::string KafkaLibraryVersion();

}  // namespace heartbeatd
