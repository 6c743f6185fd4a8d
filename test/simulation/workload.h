// What customers do in a simulated world, and what must come of it: the same messages through one
// undisturbed shard a partition.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "rules/ruleset.h"
#include "shard/io.h"
#include "shard/shard.h"
#include "simulation/outcome.h"
#include "simulation/random.h"

namespace heartbeatd::sim {

// The rules that all worlds watch. Thread-safe.
std::shared_ptr<const RuleSet> Rules();

struct Message {
  size_t topic = 0;
  int32_t partition = 0;
  std::string key;
  std::string payload;
  bool poison = false;  // leads to a record that the broker refuses
};

struct WorkloadOptions {
  int32_t partitions = 1;
  size_t topics = 1;
  TimeSource time_source = TimeSource::kEvent;
};

// Not thread-safe.
class Workload {
 public:
  Workload(WorkloadOptions options, Random* random);

  // The next message; `now` is its time where wall time counts.
  Message Next(WallTime now);
  // The tick that ends a partition's history.
  [[nodiscard]] Message LastTick(size_t topic, int32_t partition) const;
  // After every event so far.
  [[nodiscard]] EventTime End() const;

 private:
  struct Partition {
    EventTime now;
    std::vector<Message> sent;  // events, for repeating them
  };

  // Which alerts come does not depend on what is merged with what, and when.
  [[nodiscard]] bool MayBeLate() const {
    return options_.topics == 1 && options_.time_source == TimeSource::kEvent;
  }
  Message Event(int32_t partition, size_t topic, WallTime now);

  const WorkloadOptions options_;
  Random* random_;
  std::vector<Partition> partitions_;
  int ids_ = 0;
  bool poisonous_;
};

// Applies what arrives, in the order of arrival, without any fault.
class Oracle {
 public:
  explicit Oracle(int32_t partitions);
  ~Oracle();

  void Apply(const Message& message, int64_t offset, WallTime now);
  // Time goes on up to `end`.
  Outcome Finish(EventTime end);

 private:
  struct Part;
  void Take(Part* part);

  std::vector<std::unique_ptr<Part>> parts_;
  Outcome outcome_;
};

}  // namespace heartbeatd::sim
