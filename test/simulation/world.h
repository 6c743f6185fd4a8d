// A simulated world: machines that run the production worker over a simulated broker and disks,
// customers who go on with their lives, and a fate that is decided by one seed. Between any two
// calls to the outside a process may be killed, frozen beyond its session, overtaken by the others,
// or meet lost replies and full disks. At the end everything heals, and what a read_committed
// subscriber has seen is held against what must be seen.
//
// One thread does it all: where a process is frozen or slow, the others act inside its call.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "metrics/metrics.h"
#include "shard/worker.h"
#include "simulation/broker.h"
#include "simulation/client.h"
#include "simulation/disk.h"
#include "simulation/random.h"
#include "simulation/surroundings.h"
#include "simulation/workload.h"

namespace heartbeatd::sim {

// What happened in a world besides its outcome: shows that it was worth simulating.
struct Tally {
  uint64_t messages = 0, alerts = 0, calls = 0, kills = 0, freezes = 0, faults = 0, rebalances = 0,
           upstream_aborts = 0, exits = 0, timers = 0;
  void Add(const Tally& other);
};

// Not thread-safe; several worlds may live in several threads.
class World {
 public:
  explicit World(uint64_t seed);
  ~World();

  // Lives through it all. Returns what is wrong at the end; nothing if all is well.
  std::vector<std::string> Run();
  [[nodiscard]] const Tally& tally() const { return tally_; }

 private:
  class Machine;
  static constexpr Duration kSessionTimeout = std::chrono::seconds(6);
  static constexpr Duration kDeleteRetention = std::chrono::seconds(60);  // of the changelog

  struct Temper {  // once in so many calls; 0: never
    uint64_t kill, freeze, overtake, fail;
  };
  struct Shape {
    int32_t partitions;
    int machines;
    std::vector<std::string> topics;
    TimeSource time_source;
    int messages;
  };

  static Shape ShapeOf(Random* random);
  static Temper TemperOf(Random* random);
  [[nodiscard]] Broker::Options BrokerOptions() const;

  // Something happens somewhere, outside the processes that are within a call.
  void Act();
  void StepSome();
  void Produce();
  void ProduceUpstreamAborted(const TopicPartition& at);
  void Compact();
  void Advance(Duration d);
  // The troubles are over: everything runs until all is consumed. False: it never was.
  bool Heal();
  [[nodiscard]] bool AllRun() const;
  [[nodiscard]] bool AllDone();
  void Judge();
  // A worker that calls itself ready has settled where its shards begin to read.
  void JudgeReady(const std::string& machine, const Worker& worker);
  void JudgeOffsets(const Outcome& seen);
  void JudgeDisks(const Outcome& seen);
  void Complain(std::string what);

  Random random_;
  const Shape shape_;
  const Temper temper_;
  ManualClock clock_;
  Metrics metrics_;
  Broker broker_;
  Workload workload_;
  Oracle oracle_;
  std::vector<std::unique_ptr<Machine>> machines_;
  std::map<TopicPartition, int64_t> sent_;  // next offset after the newest message
  int messages_left_;
  bool healing_ = false;
  EventTime end_;  // known once all is sent
  std::vector<std::string> complaints_;
  Tally tally_;
};

}  // namespace heartbeatd::sim
