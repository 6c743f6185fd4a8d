// The verbs of heartbeatd-kit: one function and one file each. Every one ends the process with a
// message (Die) when the broker or a file fails it; there is nothing that a test could do but fail.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "client.h"

namespace kit {

inline constexpr int64_t kNoLimit = std::numeric_limits<int64_t>::max();

struct CreateTopicsOptions {
  Connection connection;
  std::vector<std::string> topics;
  int partitions = 4;
  std::map<std::string, std::string> configuration;  // of the topics, as cleanup.policy
};
// Creates what is missing; fails if a topic exists with another partition count. Returns when every
// partition has a leader.
void CreateTopics(const CreateTopicsOptions& options);

enum class Progress { kNone, kBar, kJson };

struct FeedOptions {
  Connection connection;
  std::string file;  // JSON lines, plain or gzip; - is standard input
  std::string topic;
  std::map<std::string, std::string> route;  // event type -> topic; all others go to `topic`
  double rate = 0;           // events per second; 0 = as fast as the broker takes them
  int64_t skip = 0;          // lines
  int64_t limit = kNoLimit;  // lines
  Progress progress = Progress::kNone;
};
// Sends every line as it is, keyed by its customer_id. A line without one, malformed ones included,
// has no key; those go to one and the same partition.
void Feed(const FeedOptions& options);

struct TickOptions {
  Connection connection;
  std::vector<std::string> topics;
  std::string timestamp;  // RFC 3339
};
// Sends one event of type `tick` to each partition.
void Tick(const TickOptions& options);

enum class Transaction { kNone, kCommit, kAbort };

struct SendOptions {
  Connection connection;
  std::string file;  // lines as Dump() prints them; - is standard input
  std::string topic;
  Transaction transaction = Transaction::kNone;  // all lines in one that ends so
};
// Sends messages exactly as described, byte by byte: `value`, `key`, `headers`, and `partition` if
// the key shall not choose. What is null or absent is absent in the message; NAME_base64 stands for
// bytes that are no UTF-8. Prints {"sent"}.
void Send(const SendOptions& options);

struct DumpOptions {
  Connection connection;
  std::string topic;
  std::string isolation = "read_committed";
  bool follow = false;
  bool values_only = false;
  double timeout_seconds = 60;
};
// Prints the messages up to the high watermark as of now, each as one line of JSON (or its bare
// value).
void Dump(const DumpOptions& options);

// Prints what a daemon has in its state directory, every row of every partition, as {"partition",
// "kind": customer, timer or meta, "key_base64", "value_base64"}. Only reads; the daemon must have
// ended, since what it still holds in memory is not seen.
void DumpState(const std::string& directory);
// Puts such lines into the state of a directory, over what is there.
void LoadState(const std::string& directory, const std::string& file);

struct OffsetsOptions {
  Connection connection;
  std::vector<std::string> topics;
  std::string group;        // empty: no committed offsets
  double wait_seconds = 0;  // > 0: report sums until the group has consumed all
  int interval_ms = 50;
};
// Prints begin, last stable offset, end (the high watermark) and the group's committed offset of
// each partition; or, waiting, only sums.
void Offsets(const OffsetsOptions& options);

struct DeleteRecordsOptions {
  Connection connection;
  std::string topic;
  int64_t keep = 0;  // newest offsets of each partition
};
// What retention does with time: the partitions begin later, and the offsets stay.
void DeleteRecords(const DeleteRecordsOptions& options);

enum class ResetTo { kBegin, kEnd, kNothing };

struct ResetOffsetsOptions {
  Connection connection;
  std::string group;
  std::string topic;
  ResetTo to = ResetTo::kBegin;
};
// Moves what a group has committed of a topic to its begin or end, or deletes it. The group must
// have no members.
void ResetOffsets(const ResetOffsetsOptions& options);

struct DeleteTopicsOptions {
  Connection connection;
  std::vector<std::string> topics;
};
// Returns when the broker no longer knows them.
void DeleteTopics(const DeleteTopicsOptions& options);

struct ConfigOptions {
  Connection connection;
  std::string topic;
};
// Prints a topic's whole configuration, defaults included, as one JSON object.
void Config(const ConfigOptions& options);

struct GenerateOptions {
  Connection connection;
  std::string topic;
  std::string file;  // JSON lines into this file, and nothing to the topic
  int64_t events = 2'000'000;
  int64_t customers = 200'000;
  int days = 180;
  uint64_t seed = 1;
  bool everybody_first = false;  // the first events are one of each customer
  bool uniform = false;          // all come equally often
  int64_t seconds = 0;           // > 0: the span of event time, instead of `days`
  // 2026-01-01: a fixed end, so that a seed means the same bytes for ever.
  int64_t end_ms = 1'767'225'600'000;
  // > 0: so many events per second, each stamped with the time at which it is sent.
  double live_rate = 0;
};
// Fills a topic with the load of the benchmark: sorted by event time, the same for the same seed.
void Generate(const GenerateOptions& options);

struct DiscardOptions {
  Connection connection;
  std::string topic;
};
// Reads a topic up to its end as of now and throws the messages away: what librdkafka alone can do
// here.
void Discard(const DiscardOptions& options);

struct LatencyOptions {
  Connection connection;
  std::string topic;
  double seconds = 30;
  double skip_seconds = 0;  // at first, for the programs to get warm
  size_t alerts_max = std::numeric_limits<size_t>::max();
};
// Reads what is committed to a topic of alerts from now on, and prints how long after its `time`
// each came: {"alerts", "p50_ms", "p99_ms", "p999_ms", "max_ms", "late_by"}, the last with the
// number of alerts for each text of that field. `time` must be wall time.
void Latency(const LatencyOptions& options);

}  // namespace kit
