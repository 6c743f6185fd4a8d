#include "store/rocks_store.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/listener.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <array>
#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace heartbeatd {
namespace {

// Keys of a column family, in this order: 'c' + customer, 'm', 't' + due (big-endian, sign flipped,
// so that bytes sort as numbers) + customer.
constexpr char kStatePrefix = 'c';
constexpr char kTimerPrefix = 't';
const std::string kMetaKey = "m";
constexpr size_t kDueBytes = 8;

constexpr int kCacheShardBits = 3;  // enough for so many workers not to wait for one another

std::string StateKey(std::string_view customer) {
  std::string key(1, kStatePrefix);
  key += customer;
  return key;
}

std::string TimerKey(const Timer& timer) {
  const uint64_t bits = static_cast<uint64_t>(timer.due.ms()) ^ (uint64_t{1} << 63);
  std::string key(1, kTimerPrefix);
  for (int shift = 56; shift >= 0; shift -= 8)
    key.push_back(static_cast<char>(bits >> shift & 0xff));
  key += timer.customer;
  return key;
}

Timer ParseTimerKey(const rocksdb::Slice& key) {
  uint64_t bits = 0;
  for (size_t i = 1; i <= kDueBytes; ++i) bits = bits << 8 | static_cast<unsigned char>(key[i]);
  return {EventTime(static_cast<int64_t>(bits ^ (uint64_t{1} << 63))),
          std::string(key.data() + 1 + kDueBytes, key.size() - 1 - kDueBytes)};
}

rocksdb::Slice SliceOf(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

// Bytes are not what was written, or a file of ours is gone.
bool IsDamage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsPathNotFound();
}

// A failure to write. RocksDB gets over a full disk, but not over other errors of its background
// work, as damage that it has met there: it writes nothing more then, of no shard.
bool IsForGood(const rocksdb::Status& status) {
  return status.severity() >= rocksdb::Status::Severity::kFatalError;
}
ExitCode CodeOf(const rocksdb::Status& status) {
  return IsForGood(status) || IsDamage(status) ? ExitCode::kFailed : ExitCode::kTemporary;
}

std::unexpected<Error> FailFrom(const rocksdb::Status& status, std::string_view doing,
                                ExitCode code) {
  return Fail(fmt::format("local state: {}: {}", doing, status.ToString()), code);
}
std::unexpected<Error> FailFrom(const rocksdb::Status& status, std::string_view doing) {
  return FailFrom(status, doing, CodeOf(status));
}

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.memtable_insert_hint_per_batch = true;  // batches come sorted
  return options;
}

using Family = std::shared_ptr<rocksdb::ColumnFamilyHandle>;

// What all handles of one shard share.
struct Shared {
  // Held while a handle writes, so that the next owner finds a shard that nobody writes any more.
  std::mutex writing;
  uint64_t owner = 0;                // who may write: the newest handle; guarded by `writing`
  std::atomic<bool> damaged{false};  // nothing may be read or written until it is wiped
};

// Learns from RocksDB's background work whose files are damaged. Nobody else would, and RocksDB
// itself would refuse every write, of all shards, from then on.
class DamageListener final : public rocksdb::EventListener {
 public:
  void Watch(uint32_t family, std::shared_ptr<Shared> shard) {
    const std::lock_guard lock(mutex_);
    shards_[family] = std::move(shard);
  }
  void OnCompactionCompleted(rocksdb::DB* /*db*/, const rocksdb::CompactionJobInfo& job) override {
    if (!IsDamage(job.status)) return;
    const std::lock_guard lock(mutex_);
    if (const auto it = shards_.find(job.cf_id); it != shards_.end()) it->second->damaged = true;
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason reason, rocksdb::Status* status) override {
    if (reason == rocksdb::BackgroundErrorReason::kCompaction && IsDamage(*status))
      *status = rocksdb::Status::OK();
  }

 private:
  std::mutex mutex_;
  std::map<uint32_t, std::shared_ptr<Shared>> shards_;  // guarded by mutex_
};

class RocksStore final : public Store {
 public:
  using Recreate = std::function<Result<Family>()>;  // an empty column family in place of this one

  // `shared->writing` is held.
  RocksStore(rocksdb::DB* db, Family family, std::shared_ptr<Shared> shared, Recreate recreate,
             std::string scratch_file)
      : db_(db),
        family_(std::move(family)),
        shared_(std::move(shared)),
        recreate_(std::move(recreate)),
        scratch_file_(std::move(scratch_file)),
        owner_(++shared_->owner) {}

  Result<std::optional<std::string>> Get(std::string_view customer) override {
    return Read(StateKey(customer));
  }
  Result<std::optional<std::string>> LocalMeta() override { return Read(kMetaKey); }

  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    if (shared_->damaged) return Damaged();
    std::vector<Timer> out;
    const std::string from = TimerKey(after);
    const auto it = Iterator();
    for (it->Seek(from); it->Valid() && out.size() < limit && it->key()[0] == kTimerPrefix;
         it->Next()) {
      if (it->key() != rocksdb::Slice(from)) out.push_back(ParseTimerKey(it->key()));
    }
    if (!it->status().ok()) return Unread(it->status(), "reading deadlines");
    return out;
  }

  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    if (shared_->damaged) return Damaged();
    std::vector<std::pair<std::string, std::string>> out;
    const std::string from = StateKey(after);
    const auto it = Iterator();
    for (it->Seek(from); it->Valid() && out.size() < limit && it->key()[0] == kStatePrefix;
         it->Next()) {
      if (it->key() == rocksdb::Slice(from)) continue;
      out.emplace_back(std::string(it->key().data() + 1, it->key().size() - 1),
                       it->value().ToString());
    }
    if (!it->status().ok()) return Unread(it->status(), "reading customers");
    return out;
  }

  Status VisitCustomers(const Visit& visit) override {
    if (shared_->damaged) return Damaged();
    rocksdb::ReadOptions options;
    options.fill_cache = false;
    options.readahead_size = 1u << 20;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(options, family_.get()));
    for (it->Seek(StateKey("")); it->Valid() && it->key()[0] == kStatePrefix; it->Next()) {
      const std::string_view customer(it->key().data() + 1, it->key().size() - 1);
      if (Status visited = visit(customer, {it->value().data(), it->value().size()}); !visited)
        return visited;
    }
    if (!it->status().ok()) return Unread(it->status(), "reading customers");
    return {};
  }

  Status Write(const StoreBatch& batch) override {
    const std::lock_guard lock(shared_->writing);
    if (Status usable = CheckUsable(); !usable) return usable;
    rocksdb::WriteBatch writes;
    for (const StoreBatch::State& state : batch.states) {
      if (state.bytes) {
        writes.Put(family_.get(), StateKey(state.customer), SliceOf(*state.bytes));
      } else {
        writes.Delete(family_.get(), StateKey(state.customer));
      }
    }
    for (const Timer& timer : batch.timers_removed) writes.Delete(family_.get(), TimerKey(timer));
    for (const Timer& timer : batch.timers_added)
      writes.Put(family_.get(), TimerKey(timer), rocksdb::Slice());
    if (!batch.local_meta.empty()) writes.Put(family_.get(), kMetaKey, SliceOf(batch.local_meta));
    const rocksdb::Status written = db_->Write(WithoutLog(), &writes);
    if (!written.ok()) return FailFrom(written, "writing");
    return {};
  }

  Status Ingest(const StoreBatch& batch) override {
    const std::lock_guard lock(shared_->writing);
    if (Status usable = CheckUsable(); !usable) return usable;
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), db_->GetOptions(family_.get()),
                                  family_.get());
    rocksdb::Status status = writer.Open(scratch_file_);
    for (const StoreBatch::State& state : batch.states) {
      if (!status.ok()) break;
      status = state.bytes ? writer.Put(StateKey(state.customer), SliceOf(*state.bytes))
                           : writer.Delete(StateKey(state.customer));
    }
    if (status.ok() && !batch.local_meta.empty())
      status = writer.Put(kMetaKey, SliceOf(batch.local_meta));
    for (const Timer& timer : batch.timers_added) {
      if (!status.ok()) break;
      status = writer.Put(TimerKey(timer), rocksdb::Slice());
    }
    if (status.ok()) status = writer.Finish();
    if (!status.ok()) return FailFrom(status, "writing a sorted file");
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    // RocksDB (7.8) takes a file whose first block it cannot read for an empty one.
    options.verify_checksums_before_ingest = true;
    status = db_->IngestExternalFile(family_.get(), {scratch_file_}, options);
    // Of the file, and not met by a background job of whatever shard before.
    if (IsDamage(status) && !IsForGood(status)) return Unread(status, "taking in a sorted file");
    if (!status.ok()) return FailFrom(status, "taking in a sorted file");
    return {};
  }

  Status Flush() override {
    const std::lock_guard lock(shared_->writing);
    if (Status usable = CheckUsable(); !usable) return usable;
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;
    const rocksdb::Status flushed = db_->Flush(options, family_.get());
    // "Try again": writes are stalled because flushes are under way already, and what they leave
    // goes with the next one.
    if (flushed.IsTryAgain()) return {};
    if (!flushed.ok()) return FailFrom(flushed, "flushing");
    return {};
  }

  Status Wipe() override {
    const std::lock_guard lock(shared_->writing);
    if (Status owned = CheckOwned(); !owned) return owned;
    Result<Family> fresh = recreate_();
    if (!fresh) return std::unexpected(std::move(fresh.error()));
    family_ = std::move(*fresh);
    shared_->damaged = false;
    return {};
  }

 private:
  Result<std::optional<std::string>> Read(const std::string& key) {
    if (shared_->damaged) return Damaged();
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), family_.get(), key, &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return Unread(status, "reading");
    return value;
  }

  std::unique_ptr<rocksdb::Iterator> Iterator() {
    return std::unique_ptr<rocksdb::Iterator>(
        db_->NewIterator(rocksdb::ReadOptions(), family_.get()));
  }

  static std::unexpected<Error> Damaged() {
    return Fail("local state: its files are damaged", ExitCode::kBroken);
  }

  // A failure to read: an error of the disk may pass, damage does not.
  std::unexpected<Error> Unread(const rocksdb::Status& status, std::string_view doing) {
    if (!IsDamage(status)) return FailFrom(status, doing, ExitCode::kTemporary);
    shared_->damaged = true;
    return FailFrom(status, doing, ExitCode::kBroken);
  }

  // `writing` is held.
  Status CheckUsable() const {
    if (Status owned = CheckOwned(); !owned) return owned;
    if (shared_->damaged) return Damaged();
    return {};
  }

  // `writing` is held.
  Status CheckOwned() const {
    if (shared_->owner == owner_) return {};
    return Fail("local state: this shard has been taken over by another worker",
                ExitCode::kTemporary);
  }

  rocksdb::DB* db_;
  Family family_;
  std::shared_ptr<Shared> shared_;
  Recreate recreate_;
  std::string scratch_file_;
  uint64_t owner_;
};

// RocksDB's log goes to ours, never to a file of its own: that one would be on the disk that may be
// full, and RocksDB (7.8, with assertions) aborts when it cannot write a second line there.
class LogForwarder final : public rocksdb::Logger {
 public:
  explicit LogForwarder(std::function<void(const std::string&)> log)
      : Logger(rocksdb::WARN_LEVEL), log_(std::move(log)) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    if (!log_) return;
    std::array<char, 1024> line{};
    std::vsnprintf(line.data(), line.size(), format, arguments);
    log_(line.data());
  }

 private:
  std::function<void(const std::string&)> log_;
};

rocksdb::Options BaseOptions(const StoreOptions& options) {
  rocksdb::Options out;
  out.create_if_missing = true;
  out.max_open_files = 256;
  out.max_background_jobs = 2;
  out.stats_dump_period_sec = 0;
  out.info_log = std::make_shared<LogForwarder>(options.log);
  out.compression = rocksdb::kLZ4Compression;
  out.write_buffer_size = std::max<size_t>(4u << 20, options.memtable_bytes / 4);
  // Most customers are written again before they are read: what counts is how often they are
  // rewritten, not in how many files one has to be looked for.
  out.level0_file_num_compaction_trigger = 8;
  // Whoever is read is in no memtable, as a rule: a filter says so without a search. Ten bits for
  // each of the entries that a memtable comes to have.
  out.memtable_prefix_bloom_size_ratio = 0.01;
  out.memtable_whole_key_filtering = true;
  rocksdb::BlockBasedTableOptions table;
  // A filter of a whole file is as large as a shard of a small cache: it would be read and thrown
  // away again for each customer. In pieces the cache holds what it can.
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes, kCacheShardBits);
  table.cache_index_and_filter_blocks = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.pin_top_level_index_and_filter = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  out.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(options.memtable_bytes, table.block_cache);
  return out;
}

}  // namespace

// Thread-safe.
struct Database::Impl {
  // Constant after opening.
  StoreOptions options;
  rocksdb::Options base;
  std::shared_ptr<DamageListener> listener;
  std::unique_ptr<rocksdb::DB> db;
  bool was_damaged = false;  // when it was opened: it is empty now

  std::mutex mutex;
  std::map<std::string, Family> families;                 // guarded by mutex
  std::map<std::string, std::shared_ptr<Shared>> shards;  // guarded by mutex

  rocksdb::Status OpenDb();
  Family Own(rocksdb::ColumnFamilyHandle* handle) {
    return {handle, [this](rocksdb::ColumnFamilyHandle* h) { db->DestroyColumnFamilyHandle(h); }};
  }
  std::shared_ptr<Shared> SharedOf(const std::string& name);
  // The shard's `writing` is held, so that nobody else makes its column family or drops it.
  Result<Family> FamilyOf(const std::string& name);  // made if it is missing
  Result<Family> Recreate(const std::string& name);
};

rocksdb::Status Database::Impl::OpenDb() {
  std::vector<std::string> names;
  if (!rocksdb::DB::ListColumnFamilies(base, options.directory, &names).ok() || names.empty())
    names = {rocksdb::kDefaultColumnFamilyName};
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names)
    descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions(base));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* raw = nullptr;
  rocksdb::Status opened = rocksdb::DB::Open(base, options.directory, descriptors, &handles, &raw);
  if (!opened.ok()) return opened;
  db.reset(raw);
  for (rocksdb::ColumnFamilyHandle* handle : handles) families[handle->GetName()] = Own(handle);
  return opened;
}

std::shared_ptr<Shared> Database::Impl::SharedOf(const std::string& name) {
  const std::lock_guard lock(mutex);
  std::shared_ptr<Shared>& shared = shards[name];
  if (!shared) {
    shared = std::make_shared<Shared>();
    shared->damaged = was_damaged;
  }
  return shared;
}

Result<Family> Database::Impl::FamilyOf(const std::string& name) {
  const std::lock_guard lock(mutex);
  auto it = families.find(name);
  if (it == families.end()) {
    rocksdb::ColumnFamilyHandle* handle = nullptr;
    const rocksdb::Status created =
        db->CreateColumnFamily(rocksdb::ColumnFamilyOptions(base), name, &handle);
    if (!created.ok()) return FailFrom(created, "adding a shard");
    it = families.emplace(name, Own(handle)).first;
  }
  listener->Watch(it->second->GetID(), shards.at(name));
  return it->second;
}

// Dropping a column family needs none of its files to be readable, and little room on the disk.
Result<Family> Database::Impl::Recreate(const std::string& name) {
  {
    const std::lock_guard lock(mutex);
    if (const auto it = families.find(name); it != families.end()) {
      const rocksdb::Status dropped = db->DropColumnFamily(it->second.get());
      if (!dropped.ok()) return FailFrom(dropped, "wiping");
      families.erase(it);
    }
  }
  return FamilyOf(name);
}

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Database::~Database() {
  for (const auto& [name, family] : impl_->families) {
    // Close() writes what is in the current memtable, but drops flushes that are ordered and have
    // not begun.
    (void)impl_->db->Flush(rocksdb::FlushOptions(), family.get());
  }
  impl_->families.clear();
  impl_->db->Close();
}

Result<std::unique_ptr<Database>> Database::Open(const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->base = BaseOptions(options);
  impl->listener = std::make_shared<DamageListener>();
  impl->base.listeners = {impl->listener};
  rocksdb::Status opened;
  for (const bool again : {false, true}) {
    std::error_code failure;
    if (again) std::filesystem::remove_all(options.directory, failure);
    std::filesystem::create_directories(options.directory, failure);
    if (failure) {
      return Fail(
          fmt::format("cannot create state directory {}: {}", options.directory, failure.message()),
          ExitCode::kConfig);
    }
    impl->was_damaged = again;
    opened = impl->OpenDb();
    if (!IsDamage(opened)) break;
  }
  if (!opened.ok()) return FailFrom(opened, fmt::format("opening {}", options.directory));
  return std::unique_ptr<Database>(new Database(std::move(impl)));
}

Result<std::unique_ptr<Store>> Database::OpenShard(int32_t partition) {
  const std::string name = fmt::format("p{}", partition);
  const std::shared_ptr<Shared> shared = impl_->SharedOf(name);
  const std::lock_guard lock(shared->writing);
  Result<Family> family = impl_->FamilyOf(name);
  if (!family) return std::unexpected(std::move(family.error()));
  return std::make_unique<RocksStore>(
      impl_->db.get(), std::move(*family), shared,
      [impl = impl_.get(), name] { return impl->Recreate(name); },
      fmt::format("{}/restore-{}.sst", impl_->options.directory, name));
}

bool Database::was_damaged() const { return impl_->was_damaged; }

size_t Database::MemoryBytes() const {
  uint64_t tables = 0;
  impl_->db->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &tables);
  return tables + impl_->base.write_buffer_manager->memory_usage();
}

}  // namespace heartbeatd
