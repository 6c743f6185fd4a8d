// The disk of a simulated machine: batches are whole or absent, and a crash takes the newest of
// those that were not flushed with it, as RocksDB does without its log.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulation/surroundings.h"
#include "store/store.h"

namespace heartbeatd::sim {

// One shard's content.
struct Image {
  std::map<std::string, std::string, std::less<>> states;
  std::set<Timer> timers;
  std::optional<std::string> local_meta;
};

// Not thread-safe. Must outlive the stores that it opens.
class Disk {
 public:
  // A process's handle; earlier ones of this partition are refused from now on.
  std::unique_ptr<Store> Open(int32_t partition, Surroundings* world);

  // The machine's process has been killed: of what was not flushed, a random number of the oldest
  // batches remain.
  void Crash(Random* random);
  // Nothing is left.
  void Lose() { shards_.clear(); }
  [[nodiscard]] const Image& image(int32_t partition) { return shards_[partition].now; }

 private:
  friend class DiskStore;

  struct Change {  // an owned StoreBatch; or everything goes
    bool wipe = false;
    std::vector<std::pair<std::string, std::optional<std::string>>> states;
    std::vector<Timer> timers_removed;
    std::vector<Timer> timers_added;
    std::string local_meta;
  };
  struct Shard {
    Image durable;
    std::vector<Change> unflushed;
    Image now;
    int owner = 0;
  };

  static void Apply(const Change& change, Image* image);

  std::map<int32_t, Shard> shards_;
};

}  // namespace heartbeatd::sim
