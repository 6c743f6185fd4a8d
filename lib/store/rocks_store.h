// The store on disk: one RocksDB for the process, one column family per shard.
//
// The write-ahead log is off: the changelog is the log. One column family per shard holds states,
// timers and the shard's own record together, so that a batch is never torn (atomic flushes across
// families lose data without a log).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "store/store.h"

namespace heartbeatd {

struct StoreOptions {
  std::string directory;
  size_t block_cache_bytes = 64u << 20;
  size_t memtable_bytes = 64u << 20;  // of all shards together
  // Takes RocksDB's own warnings, on any thread; absent: nobody does.
  std::function<void(const std::string&)> log;
};

// Thread-safe. Must outlive the stores that it hands out.
class Database {
 public:
  // Opens or creates. What is damaged beyond opening is removed and made anew; then every shard
  // says that it is damaged, until it is wiped. Error: no room, no rights; kTemporary if another
  // process has it.
  static Result<std::unique_ptr<Database>> Open(const StoreOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // The shard's store; earlier handles of the same shard refuse to write from now on.
  Result<std::unique_ptr<Store>> OpenShard(int32_t partition);

  // It had to be made anew when it was opened.
  [[nodiscard]] bool was_damaged() const;

  // Bytes in memtables and caches.
  [[nodiscard]] size_t MemoryBytes() const;

 private:
  struct Impl;
  explicit Database(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace heartbeatd
