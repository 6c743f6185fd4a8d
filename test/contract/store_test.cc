// What every Store must do, whatever it is made of. The store in memory is the model of the one on disk.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "store/memory_store.h"
#include "store/rocks_store.h"

namespace heartbeatd {
namespace {

// A folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "heartbeatd-store-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::unique_ptr<Database> OpenDatabase(const TemporaryFolder& folder) {
  auto database = Database::Open({.directory = folder.path() + "/db", .block_cache_bytes = 1u << 20, .memtable_bytes = 8u << 20});
  if (!database) FAIL(database.error().message);
  return std::move(*database);
}

// Runs the body over each implementation.
void ForEachStore(const std::function<void(Store&)>& body) {
  SECTION("in memory") { body(*MakeMemoryStore()); }
  SECTION("RocksDB") {
    const TemporaryFolder folder;
    const std::unique_ptr<Database> database = OpenDatabase(folder);
    auto store = database->OpenShard(0);
    REQUIRE(store);
    body(**store);
  }
}

template <typename T>
T Must(Result<T> result) {
  if (!result) FAIL(result.error().message);
  return std::move(*result);
}

void Must(const Status& status) {
  if (!status) FAIL(status.error().message);
}

Timer At(int64_t ms, std::string customer) { return {EventTime(ms), std::move(customer)}; }
const Timer kFirst{EventTime::Min(), ""};

void Put(Store& store, std::string_view customer, std::string_view bytes, std::string_view meta = "meta") {
  StoreBatch batch;
  batch.states.push_back({customer, bytes});
  batch.local_meta = meta;
  Must(store.Write(batch));
}

}  // namespace

TEST_CASE("store: a new one is empty") {
  ForEachStore([](Store& store) {
    CHECK_FALSE(Must(store.Get("nobody")));
    CHECK_FALSE(Must(store.LocalMeta()));
    CHECK(Must(store.Timers(kFirst, 10)).empty());
    CHECK(Must(store.Customers("", 10)).empty());
  });
}

TEST_CASE("store: what is written is read, deletions and overwriting included") {
  ForEachStore([](Store& store) {
    Put(store, "a", "1");
    Put(store, "b", "2", "newer");
    Put(store, "a", "");  // an empty state is a state
    CHECK(Must(store.Get("a")) == "");
    CHECK(Must(store.Get("b")) == "2");
    CHECK(Must(store.LocalMeta()) == "meta");
    StoreBatch batch;
    batch.states.push_back({"a", std::nullopt});
    batch.states.push_back({"never there", std::nullopt});
    batch.local_meta = "last";
    Must(store.Write(batch));
    CHECK_FALSE(Must(store.Get("a")));
    CHECK(Must(store.LocalMeta()) == "last");
  });
}

TEST_CASE("store: timers come in order of time, then customer, from behind the one given") {
  ForEachStore([](Store& store) {
    StoreBatch batch;
    batch.timers_added = {At(5, "b"), At(-7, "z"), At(5, "a"), At(1'000'000'000'000, "c"), At(6, "")};
    batch.local_meta = "m";
    Must(store.Write(batch));
    CHECK(Must(store.Timers(kFirst, 10)) ==
          std::vector<Timer>{At(-7, "z"), At(5, "a"), At(5, "b"), At(6, ""), At(1'000'000'000'000, "c")});
    CHECK(Must(store.Timers(At(5, "a"), 2)) == std::vector<Timer>{At(5, "b"), At(6, "")});
    StoreBatch moved;
    moved.timers_removed = {At(5, "b"), At(99, "not there")};
    moved.timers_added = {At(5, "a"), At(4, "b")};
    moved.local_meta = "m";
    Must(store.Write(moved));
    CHECK(Must(store.Timers(At(-7, "z"), 3)) == std::vector<Timer>{At(4, "b"), At(5, "a"), At(6, "")});
  });
}

TEST_CASE("store: a timer that is removed and added in one batch is there") {
  ForEachStore([](Store& store) {
    StoreBatch batch;
    batch.timers_removed = {At(5, "a")};
    batch.timers_added = {At(5, "a")};
    Must(store.Write(batch));
    CHECK(Must(store.Timers(kFirst, 10)) == std::vector<Timer>{At(5, "a")});
  });
}

TEST_CASE("store: customers come in the order of their bytes, from behind the one given") {
  ForEachStore([](Store& store) {
    const std::string zeros("\0\0", 2);
    for (const std::string& id : {std::string("m"), std::string("\xff"), zeros, std::string("c"), std::string("t")}) Put(store, id, "state of " + id);
    std::vector<std::string> ids;
    for (const auto& [id, bytes] : Must(store.Customers("", 10))) {
      CHECK(bytes == "state of " + id);
      ids.push_back(id);
    }
    CHECK(ids == std::vector<std::string>{zeros, "c", "m", "t", "\xff"});
    CHECK(Must(store.Customers("c", 1)).at(0).first == "m");
    CHECK(Must(store.Customers("\xff", 10)).empty());
  });
}

TEST_CASE("store: wiping takes everything, and what comes after stays") {
  ForEachStore([](Store& store) {
    StoreBatch batch;
    const std::string high = "\xff\xff";
    batch.states.push_back({"a", "1"});
    batch.states.push_back({high, "2"});
    batch.timers_added = {At(1, high)};
    batch.local_meta = "m";
    Must(store.Write(batch));
    Must(store.Wipe());
    CHECK_FALSE(Must(store.LocalMeta()));
    CHECK(Must(store.Customers("", 10)).empty());
    CHECK(Must(store.Timers(kFirst, 10)).empty());
    Put(store, "a", "new");
    CHECK(Must(store.Get("a")) == "new");
  });
}

TEST_CASE("store: ingesting overrides, again and again, and deletes") {
  ForEachStore([](Store& store) {
    Put(store, "b", "old");
    for (int round = 0; round < 3; ++round) {
      const std::string bytes = fmt::format("round {}", round);
      StoreBatch batch;
      batch.states = {{"a", bytes}, {"b", std::nullopt}, {"c", bytes}};
      if (round == 2) batch.states[0].bytes.reset();
      batch.timers_added = {At(round, "a"), At(round, "c")};
      batch.local_meta = bytes;
      Must(store.Ingest(batch));
    }
    CHECK_FALSE(Must(store.Get("a")));
    CHECK_FALSE(Must(store.Get("b")));
    CHECK(Must(store.Get("c")) == "round 2");
    CHECK(Must(store.LocalMeta()) == "round 2");
    CHECK(Must(store.Timers(kFirst, 10)).size() == 6);
    Put(store, "a", "after");
    CHECK(Must(store.Get("a")) == "after");
  });
}

TEST_CASE("store: random batches against the store in memory, over reopenings") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const TemporaryFolder folder;
  std::unique_ptr<Database> database = OpenDatabase(folder);
  std::unique_ptr<Store> store = Must(database->OpenShard(3));
  const std::unique_ptr<Store> model = MakeMemoryStore();
  const auto customer = [&] { return std::string(1 + random() % 3, static_cast<char>(random() % 256)); };
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, std::optional<std::string>> states;
    std::set<Timer> added;
    StoreBatch batch;
    for (uint64_t i = random() % 20; i > 0; --i) {
      auto& state = states[customer()];
      if (random() % 4 != 0) state = fmt::format("{}", random());
    }
    for (uint64_t i = random() % 20; i > 0; --i) added.insert(At(static_cast<int64_t>(random() % 50) - 25, customer()));
    const bool ingest = random() % 8 == 0;
    for (uint64_t i = random() % 10; !ingest && i > 0; --i) batch.timers_removed.push_back(At(static_cast<int64_t>(random() % 50) - 25, customer()));
    for (const auto& [id, bytes] : states) batch.states.push_back({id, bytes ? std::optional<std::string_view>(*bytes) : std::nullopt});
    batch.timers_added.assign(added.begin(), added.end());
    const std::string meta = fmt::format("round {}", round);
    batch.local_meta = meta;
    Must(ingest ? store->Ingest(batch) : store->Write(batch));
    Must(ingest ? model->Ingest(batch) : model->Write(batch));
    if (random() % 100 == 0) {
      Must(store->Wipe());
      Must(model->Wipe());
    }
    if (random() % 20 == 0) {
      // The log is off: what survives is what was flushed.
      Must(store->Flush());
      store.reset();
      database.reset();
      database = OpenDatabase(folder);
      store = Must(database->OpenShard(3));
    }
    REQUIRE(Must(store->Customers("", 100'000)) == Must(model->Customers("", 100'000)));
    REQUIRE(Must(store->Timers(kFirst, 100'000)) == Must(model->Timers(kFirst, 100'000)));
    REQUIRE(Must(store->LocalMeta()) == Must(model->LocalMeta()));
    const std::string id = customer();
    REQUIRE(Must(store->Get(id)) == Must(model->Get(id)));
  }
}

TEST_CASE("database: shards are independent of one another") {
  const TemporaryFolder folder;
  const std::unique_ptr<Database> database = OpenDatabase(folder);
  const std::unique_ptr<Store> one = Must(database->OpenShard(1));
  const std::unique_ptr<Store> two = Must(database->OpenShard(2));
  Put(*one, "a", "of one");
  Put(*two, "a", "of two");
  Must(one->Wipe());
  CHECK_FALSE(Must(one->Get("a")));
  CHECK(Must(two->Get("a")) == "of two");
}

TEST_CASE("database: a shard that was opened again refuses its old handle") {
  const TemporaryFolder folder;
  const std::unique_ptr<Database> database = OpenDatabase(folder);
  const std::unique_ptr<Store> before = Must(database->OpenShard(1));
  Put(*before, "a", "before");
  const std::unique_ptr<Store> after = Must(database->OpenShard(1));
  StoreBatch batch;
  batch.states.push_back({"a", "zombie"});
  CHECK_FALSE(before->Write(batch));
  CHECK_FALSE(before->Ingest(batch));
  CHECK_FALSE(before->Wipe());
  CHECK(Must(after->Get("a")) == "before");
  Put(*after, "a", "after");
  CHECK(Must(after->Get("a")) == "after");
}

TEST_CASE("database: a second process is refused") {
  const TemporaryFolder folder;
  const std::unique_ptr<Database> database = OpenDatabase(folder);
  CHECK_FALSE(Database::Open({.directory = folder.path() + "/db"}));
}

}  // namespace heartbeatd
