// One partition of the simulated broker: records and control records in the order of their offsets,
// transactions that are open, committed or aborted, and what readers see of them.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"
#include "shard/io.h"

namespace heartbeatd::sim {

struct Entry {
  enum class Fate : uint8_t { kOpen, kCommitted, kAborted, kControl };
  int64_t offset = 0;
  std::optional<Duration> cleaned;  // a tombstone: when compaction first came to it
  Fate fate = Fate::kCommitted;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<Header> headers;
};

// Not thread-safe.
class Log {
 public:
  int64_t Append(Entry entry);
  // What became of a transaction that appended these offsets here; adds its control record.
  void EndTransaction(const std::vector<int64_t>& offsets, bool commit);
  // Removes what newer committed records replace, as log compaction does below the last stable
  // offset. Tombstones stay for `retention` after that, so that whoever is reading meets them.
  void Compact(Duration now, Duration retention);

  [[nodiscard]] int64_t begin() const { return 0; }
  // The high watermark.
  [[nodiscard]] int64_t end() const { return end_; }
  [[nodiscard]] int64_t last_stable() const { return open_.empty() ? end_ : *open_.begin(); }

  // The first entry at or after `offset` that a read_committed reader is given; null if it is at
  // the end for now. `*next`: where to read on if null.
  [[nodiscard]] const Entry* ReadCommitted(int64_t offset, int64_t* next) const;
  [[nodiscard]] const std::vector<Entry>& entries() const { return entries_; }

 private:
  [[nodiscard]] std::vector<Entry>::const_iterator At(int64_t offset) const;

  std::vector<Entry> entries_;
  std::set<int64_t> open_;  // offsets of open transactions
  int64_t end_ = 0;
};

}  // namespace heartbeatd::sim
