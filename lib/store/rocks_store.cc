#include "store/rocks_store.h"

#include <fmt/format.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>

#include <atomic>
#include <filesystem>
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

std::unexpected<Error> FailFrom(const rocksdb::Status& status, std::string_view doing) {
  const ExitCode code = status.IsCorruption() ? ExitCode::kBroken : ExitCode::kTemporary;
  return Fail(fmt::format("local state: {}: {}", doing, status.ToString()), code);
}

rocksdb::WriteOptions WithoutLog() {
  rocksdb::WriteOptions options;
  options.disableWAL = true;
  options.memtable_insert_hint_per_batch = true;  // batches come sorted
  return options;
}

// Who may write to a shard: the newest handle.
struct Ownership {
  std::atomic<uint64_t> owner{0};
};

class RocksStore final : public Store {
 public:
  RocksStore(rocksdb::DB* db, rocksdb::ColumnFamilyHandle* family, std::string scratch_file,
             std::shared_ptr<Ownership> ownership)
      : db_(db),
        family_(family),
        scratch_file_(std::move(scratch_file)),
        ownership_(std::move(ownership)),
        owner_(++ownership_->owner) {}

  Result<std::optional<std::string>> Get(std::string_view customer) override {
    return Read(StateKey(customer));
  }
  Result<std::optional<std::string>> LocalMeta() override { return Read(kMetaKey); }

  Result<std::vector<Timer>> Timers(const Timer& after, size_t limit) override {
    std::vector<Timer> out;
    const std::string from = TimerKey(after);
    const auto it = Iterator();
    for (it->Seek(from); it->Valid() && out.size() < limit && it->key()[0] == kTimerPrefix;
         it->Next()) {
      if (it->key() != rocksdb::Slice(from)) out.push_back(ParseTimerKey(it->key()));
    }
    if (!it->status().ok()) return FailFrom(it->status(), "reading deadlines");
    return out;
  }

  Result<std::vector<std::pair<std::string, std::string>>> Customers(std::string_view after,
                                                                     size_t limit) override {
    std::vector<std::pair<std::string, std::string>> out;
    const std::string from = StateKey(after);
    const auto it = Iterator();
    for (it->Seek(from); it->Valid() && out.size() < limit && it->key()[0] == kStatePrefix;
         it->Next()) {
      if (it->key() == rocksdb::Slice(from)) continue;
      out.emplace_back(std::string(it->key().data() + 1, it->key().size() - 1),
                       it->value().ToString());
    }
    if (!it->status().ok()) return FailFrom(it->status(), "reading customers");
    return out;
  }

  Status Write(const StoreBatch& batch) override {
    if (Status owned = CheckOwned(); !owned) return owned;
    rocksdb::WriteBatch writes;
    for (const StoreBatch::State& state : batch.states) {
      if (state.bytes) {
        writes.Put(family_, StateKey(state.customer), SliceOf(*state.bytes));
      } else {
        writes.Delete(family_, StateKey(state.customer));
      }
    }
    for (const Timer& timer : batch.timers_removed) writes.Delete(family_, TimerKey(timer));
    for (const Timer& timer : batch.timers_added)
      writes.Put(family_, TimerKey(timer), rocksdb::Slice());
    writes.Put(family_, kMetaKey, SliceOf(batch.local_meta));
    const rocksdb::Status written = db_->Write(WithoutLog(), &writes);
    if (!written.ok()) return FailFrom(written, "writing");
    return {};
  }

  Status Ingest(const StoreBatch& batch) override {
    if (Status owned = CheckOwned(); !owned) return owned;
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), db_->GetOptions(family_), family_);
    rocksdb::Status status = writer.Open(scratch_file_);
    for (const StoreBatch::State& state : batch.states) {
      if (!status.ok()) break;
      status = state.bytes ? writer.Put(StateKey(state.customer), SliceOf(*state.bytes))
                           : writer.Delete(StateKey(state.customer));
    }
    if (status.ok()) status = writer.Put(kMetaKey, SliceOf(batch.local_meta));
    for (const Timer& timer : batch.timers_added) {
      if (!status.ok()) break;
      status = writer.Put(TimerKey(timer), rocksdb::Slice());
    }
    if (status.ok()) status = writer.Finish();
    if (!status.ok()) return FailFrom(status, "writing a sorted file");
    rocksdb::IngestExternalFileOptions options;
    options.move_files = true;
    status = db_->IngestExternalFile(family_, {scratch_file_}, options);
    if (!status.ok()) return FailFrom(status, "taking in a sorted file");
    return {};
  }

  Status Flush() override {
    if (Status owned = CheckOwned(); !owned) return owned;
    rocksdb::FlushOptions options;
    options.wait = false;
    options.allow_write_stall = true;
    const rocksdb::Status flushed = db_->Flush(options, family_);
    // "Try again": writes are stalled because flushes are under way already.
    if (flushed.IsTryAgain()) return {};
    // While writes are stopped flushes are under way already, and what they leave goes with the
    // next one.
    if (!flushed.ok() && !flushed.IsTryAgain()) return FailFrom(flushed, "flushing");
    return {};
  }

  Status Wipe() override {
    if (Status owned = CheckOwned(); !owned) return owned;
    rocksdb::Status status =
        db_->DeleteRange(WithoutLog(), family_, rocksdb::Slice(), rocksdb::Slice("\xff"));
    if (status.ok()) status = db_->Flush(rocksdb::FlushOptions(), family_);
    if (!status.ok()) return FailFrom(status, "wiping");
    return {};
  }

 private:
  Result<std::optional<std::string>> Read(const std::string& key) {
    std::string value;
    const rocksdb::Status status = db_->Get(rocksdb::ReadOptions(), family_, key, &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return FailFrom(status, "reading");
    return value;
  }

  std::unique_ptr<rocksdb::Iterator> Iterator() {
    return std::unique_ptr<rocksdb::Iterator>(db_->NewIterator(rocksdb::ReadOptions(), family_));
  }

  Status CheckOwned() const {
    if (ownership_->owner.load() == owner_) return {};
    return Fail("local state: this shard has been taken over by another worker",
                ExitCode::kTemporary);
  }

  rocksdb::DB* db_;
  rocksdb::ColumnFamilyHandle* family_;
  std::string scratch_file_;
  std::shared_ptr<Ownership> ownership_;
  uint64_t owner_;
};

rocksdb::Options BaseOptions(const StoreOptions& options) {
  rocksdb::Options out;
  out.create_if_missing = true;
  out.max_open_files = 256;
  out.max_background_jobs = 2;
  out.keep_log_file_num = 2;
  out.stats_dump_period_sec = 0;
  out.info_log_level = rocksdb::WARN_LEVEL;
  out.compression = rocksdb::kLZ4Compression;
  out.write_buffer_size = std::max<size_t>(4u << 20, options.memtable_bytes / 4);
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  table.cache_index_and_filter_blocks = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  out.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  out.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(options.memtable_bytes, table.block_cache);
  return out;
}

}  // namespace

struct Database::Impl {
  StoreOptions options;
  rocksdb::Options base;
  std::unique_ptr<rocksdb::DB> db;
  std::mutex mutex;
  std::map<std::string, rocksdb::ColumnFamilyHandle*> families;  // guarded by mutex
  std::map<std::string, std::shared_ptr<Ownership>> ownerships;  // guarded by mutex
};

Database::Database(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Database::~Database() {
  for (const auto& [name, family] : impl_->families) {
    // Close() writes what is in the current memtable, but drops flushes that are ordered and have
    // not begun.
    (void)impl_->db->Flush(rocksdb::FlushOptions(), family);
    impl_->db->DestroyColumnFamilyHandle(family);
  }
  impl_->db->Close();
}

Result<std::unique_ptr<Database>> Database::Open(const StoreOptions& options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->base = BaseOptions(options);
  std::error_code failure;
  std::filesystem::create_directories(options.directory, failure);
  if (failure) {
    return Fail(
        fmt::format("cannot create state directory {}: {}", options.directory, failure.message()),
        ExitCode::kConfig);
  }
  std::vector<std::string> names;
  if (!rocksdb::DB::ListColumnFamilies(impl->base, options.directory, &names).ok() ||
      names.empty()) {
    names = {rocksdb::kDefaultColumnFamilyName};
  }
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names)
    descriptors.emplace_back(name, rocksdb::ColumnFamilyOptions(impl->base));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened =
      rocksdb::DB::Open(impl->base, options.directory, descriptors, &handles, &db);
  if (!opened.ok()) return FailFrom(opened, fmt::format("opening {}", options.directory));
  impl->db.reset(db);
  for (rocksdb::ColumnFamilyHandle* handle : handles) impl->families[handle->GetName()] = handle;
  return std::unique_ptr<Database>(new Database(std::move(impl)));
}

Result<std::unique_ptr<Store>> Database::OpenShard(int32_t partition) {
  const std::lock_guard lock(impl_->mutex);
  const std::string name = fmt::format("p{}", partition);
  rocksdb::ColumnFamilyHandle*& family = impl_->families[name];
  if (family == nullptr) {
    const rocksdb::Status created =
        impl_->db->CreateColumnFamily(rocksdb::ColumnFamilyOptions(impl_->base), name, &family);
    if (!created.ok()) {
      impl_->families.erase(name);
      return FailFrom(created, "adding a shard");
    }
  }
  std::shared_ptr<Ownership>& ownership = impl_->ownerships[name];
  if (!ownership) ownership = std::make_shared<Ownership>();
  const std::string scratch = fmt::format("{}/restore-{}.sst", impl_->options.directory, name);
  return std::make_unique<RocksStore>(impl_->db.get(), family, scratch, ownership);
}

size_t Database::MemoryBytes() const {
  uint64_t tables = 0;
  impl_->db->GetAggregatedIntProperty(rocksdb::DB::Properties::kCurSizeAllMemTables, &tables);
  return tables + impl_->base.write_buffer_manager->memory_usage();
}

}  // namespace heartbeatd
