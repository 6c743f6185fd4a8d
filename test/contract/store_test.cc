// What every Store does, whichever it is (lib/store/store.h), and what the one on disk does beyond
// that.
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "../contract/crash_writer.h"
#include "catch.h"
#include "store/memory_store.h"
#include "store/rocks_store.h"

namespace heartbeatd {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

// A directory of its own that goes with the test.
class TempDir {
 public:
  TempDir() {
    std::string name =
        (std::filesystem::temp_directory_path() / "heartbeatd-contract-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::unique_ptr<Database> OpenDatabase(const std::string& directory) {
  Result<std::unique_ptr<Database>> database = Database::Open(
      {.directory = directory, .block_cache_bytes = 8u << 20, .memtable_bytes = 8u << 20});
  if (!database) FAIL(database.error().message);
  return *std::move(database);
}

std::unique_ptr<Store> OpenShard(Database& database, int32_t partition) {
  Result<std::unique_ptr<Store>> store = database.OpenShard(partition);
  if (!store) FAIL(store.error().message);
  return *std::move(store);
}

// One implementation under test.
struct Subject {
  const char* name;
  std::function<std::unique_ptr<Store>()> make;
  TempDir directory;
  std::unique_ptr<Database> database;
};

std::unique_ptr<Subject> Memory() {
  auto subject = std::make_unique<Subject>();
  subject->name = "memory";
  subject->make = [] { return MakeMemoryStore(); };
  return subject;
}
std::unique_ptr<Subject> Rocks() {
  auto subject = std::make_unique<Subject>();
  subject->name = "RocksDB";
  subject->database = OpenDatabase(subject->directory.path());
  subject->make = [database = subject->database.get()] { return OpenShard(*database, 0); };
  return subject;
}

Timer T(int64_t due, const std::string& customer) { return {EventTime(due), customer}; }

struct Batch {
  std::vector<std::pair<std::string, std::optional<std::string>>> states;
  std::vector<Timer> removed;
  std::vector<Timer> added;
  std::string meta = "meta";
};

StoreBatch Of(const Batch& batch) {
  StoreBatch out;
  for (const auto& [customer, bytes] : batch.states) {
    out.states.push_back(
        {customer, bytes ? std::optional<std::string_view>(*bytes) : std::nullopt});
  }
  out.timers_removed = batch.removed;
  out.timers_added = batch.added;
  out.local_meta = batch.meta;
  return out;
}

void Write(Store& store, const Batch& batch) {
  const Status written = store.Write(Of(batch));
  if (!written) FAIL(written.error().message);
}

std::optional<std::string> Get(Store& store, const std::string& customer) {
  Result<std::optional<std::string>> got = store.Get(customer);
  REQUIRE(got);
  return *got;
}
std::vector<Timer> Timers(Store& store, const Timer& after = {EventTime::Min(), ""},
                          size_t limit = 1000) {
  Result<std::vector<Timer>> timers = store.Timers(after, limit);
  REQUIRE(timers);
  return *timers;
}
Pairs Customers(Store& store, const std::string& after = "", size_t limit = 1000) {
  Result<Pairs> customers = store.Customers(after, limit);
  REQUIRE(customers);
  return *customers;
}
std::optional<std::string> Meta(Store& store) {
  Result<std::optional<std::string>> meta = store.LocalMeta();
  REQUIRE(meta);
  return *meta;
}

// Ids that an encoding of keys might trip over.
const std::vector<std::string> kAwkward = {std::string("\0", 1),
                                           std::string("\0\0", 2),
                                           "a",
                                           std::string("a\0", 2),
                                           std::string("a\0b", 3),
                                           "b",
                                           "c",
                                           "cc",
                                           "m",
                                           "mm",
                                           "t",
                                           "tt",
                                           "\x7f",
                                           "\x80",
                                           "\xff",
                                           "\xff\xff",
                                           std::string(256, 'x'),
                                           std::string(256, '\xff')};

}  // namespace

// NOLINTBEGIN(bugprone-macro-parentheses): the name is declared here
#define FOR_EACH_STORE(subject)                                  \
  const auto subject = GENERATE(0, 1) == 0 ? Memory() : Rocks(); \
  INFO((subject)->name)
// NOLINTEND(bugprone-macro-parentheses)

TEST_CASE("store: a new one is empty") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  CHECK_FALSE(Get(*store, "c"));
  CHECK_FALSE(Meta(*store));
  CHECK(Timers(*store).empty());
  CHECK(Customers(*store).empty());
}

TEST_CASE("store: a batch puts, replaces and deletes") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  Write(*store, {.states = {{"a", "1"}, {"b", "2"}, {"empty", ""}},
                 .added = {T(10, "a"), T(20, "b")},
                 .meta = "first"});
  CHECK(Get(*store, "a") == "1");
  CHECK(Get(*store, "empty") == "");
  CHECK(Meta(*store) == "first");
  Write(*store, {.states = {{"a", std::nullopt}, {"b", "3"}, {"unknown", std::nullopt}},
                 .removed = {T(10, "a"), T(99, "nobody")},
                 .added = {T(5, "b")},
                 .meta = "second"});
  CHECK_FALSE(Get(*store, "a"));
  CHECK(Get(*store, "b") == "3");
  CHECK(Meta(*store) == "second");
  CHECK(Timers(*store) == std::vector<Timer>{T(5, "b"), T(20, "b")});
}

TEST_CASE("store: a batch without a record of the shard leaves the one that is there") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  Write(*store, {.states = {{"c", "1"}}, .meta = ""});
  CHECK_FALSE(Meta(*store));
  Write(*store, {.states = {{"c", "2"}}, .meta = "record"});
  Write(*store, {.states = {{"c", "3"}}, .meta = ""});
  CHECK(Meta(*store) == "record");
  CHECK(Get(*store, "c") == "3");
}

TEST_CASE("store: a timer that is removed and added in one batch is there") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  Write(*store, {.added = {T(10, "a")}});
  Write(*store, {.removed = {T(10, "a")}, .added = {T(10, "a")}});
  CHECK(Timers(*store) == std::vector<Timer>{T(10, "a")});
}

TEST_CASE("store: timers come in the order of time, then of the customer's bytes") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  std::set<Timer> timers;
  for (const int64_t due : {INT64_MIN + 1, int64_t{-1}, int64_t{0}, int64_t{1}, int64_t{255},
                            int64_t{256}, int64_t{1} << 40, INT64_MAX - 1}) {
    for (const std::string& customer : kAwkward) timers.insert(T(due, customer));
  }
  Write(*store, {.added = std::vector<Timer>(timers.begin(), timers.end())});
  const std::vector<Timer> expected(timers.begin(), timers.end());
  CHECK(Timers(*store) == expected);
  // Any place to go on from, and any number.
  for (size_t i = 0; i < expected.size(); i += 7) {
    const std::vector<Timer> rest(
        expected.begin() + static_cast<std::ptrdiff_t>(i) + 1,
        expected.begin() + static_cast<std::ptrdiff_t>(std::min(expected.size(), i + 6)));
    CHECK(Timers(*store, expected[i], 5) == rest);
  }
  CHECK(Timers(*store, T(0, ""), 1) == std::vector<Timer>{T(0, kAwkward[0])});
  CHECK(Timers(*store, {EventTime::Never(), ""}).empty());
  CHECK(Timers(*store, {EventTime::Min(), ""}, 0).empty());
}

TEST_CASE("store: customers come in the order of their bytes, whatever they are called") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  Batch batch;
  std::map<std::string, std::string> expected;
  for (const std::string& customer : kAwkward) {
    batch.states.emplace_back(customer, "state of " + customer);
    batch.added.push_back(T(7, customer));
    expected[customer] = "state of " + customer;
  }
  Write(*store, batch);
  CHECK(Customers(*store) == Pairs(expected.begin(), expected.end()));
  for (const auto& [customer, bytes] : expected) CHECK(Get(*store, customer) == bytes);
  // In pages, as a sweep reads them.
  Pairs paged;
  std::string after;
  while (true) {
    const Pairs page = Customers(*store, after, 4);
    paged.insert(paged.end(), page.begin(), page.end());
    if (page.size() < 4) break;
    after = page.back().first;
  }
  CHECK(paged == Pairs(expected.begin(), expected.end()));
}

TEST_CASE("store: values of any bytes and of any size") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  std::mt19937_64 random(1);
  std::string large(3u << 20, '\0');
  for (char& c : large) c = static_cast<char>(random());
  Write(*store, {.states = {{"large", large}, {"zeros", std::string(10, '\0')}},
                 .meta = std::string("\0\xff", 2)});
  CHECK(Get(*store, "large") == large);
  CHECK(Get(*store, "zeros") == std::string(10, '\0'));
  CHECK(Meta(*store) == std::string("\0\xff", 2));
}

TEST_CASE("store: a wiped one is as new, and can be filled again") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  Batch batch;
  for (const std::string& customer : kAwkward) {
    batch.states.emplace_back(customer, "x");
    batch.added.push_back(T(7, customer));
    batch.added.push_back(T(-7, customer));
  }
  Write(*store, batch);
  REQUIRE(store->Wipe());
  CHECK(Customers(*store).empty());
  CHECK(Timers(*store).empty());
  CHECK_FALSE(Meta(*store));
  Write(*store, {.states = {{"a", "1"}}, .added = {T(1, "a")}, .meta = "again"});
  CHECK(Customers(*store) == Pairs{{"a", "1"}});
  CHECK(Timers(*store) == std::vector<Timer>{T(1, "a")});
  CHECK(Meta(*store) == "again");
}

TEST_CASE("store: ingesting fills as writing does") {
  FOR_EACH_STORE(subject);
  const auto store = subject->make();
  Batch batch{.meta = "ingested"};
  std::map<std::string, std::string> expected;
  std::set<Timer> timers;
  for (int i = 0; i < 5000; ++i) expected[fmt::format("c{}", i)] = fmt::format("state {}", i);
  for (const std::string& customer : kAwkward) expected[customer] = "awkward";
  for (const auto& [customer, bytes] : expected) {
    batch.states.emplace_back(customer, bytes);
    timers.insert(T(static_cast<int64_t>(bytes.size()) * 1000 - 9000, customer));
  }
  batch.added.assign(timers.begin(), timers.end());
  REQUIRE(store->Ingest(Of(batch)));
  CHECK(Customers(*store, "", 100'000) == Pairs(expected.begin(), expected.end()));
  CHECK(Timers(*store, {EventTime::Min(), ""}, 100'000) == batch.added);
  CHECK(Meta(*store) == "ingested");
  // Over what is there: newer than it, and what is written later is newer still.
  Write(*store, {.states = {{"c1", "written"}, {"c2", "written"}}, .meta = "written"});
  REQUIRE(store->Ingest(Of({.states = {{"c1", "ingested again"}}, .meta = "ingested again"})));
  CHECK(Get(*store, "c1") == "ingested again");
  CHECK(Get(*store, "c2") == "written");
  CHECK(Meta(*store) == "ingested again");
  Write(*store, {.states = {{"c1", std::nullopt}}});
  CHECK_FALSE(Get(*store, "c1"));
}

TEST_CASE("store: any operations in any order, against a plain map") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  FOR_EACH_STORE(subject);
  std::mt19937_64 random(seed);
  auto store = subject->make();
  std::map<std::string, std::string> states;
  std::set<Timer> timers;
  std::optional<std::string> meta;
  const auto customer = [&] {
    return random() % 4 == 0 ? kAwkward[random() % kAwkward.size()]
                             : fmt::format("c{}", random() % 300);
  };
  const auto bytes = [&] {
    std::string out(random() % 200, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
  };
  const auto timer = [&] { return T(static_cast<int64_t>(random() % 2000) - 1000, customer()); };
  for (int step = 0; step < 1500; ++step) {
    CAPTURE(step);
    const size_t what = random() % 100;
    if (what < 60) {
      Batch batch{.meta = bytes()};
      std::map<std::string, std::optional<std::string>> changes;
      for (size_t n = random() % 20; n > 0; --n)
        changes[customer()] = random() % 4 == 0 ? std::nullopt : std::optional(bytes());
      for (const auto& [id, value] : changes) batch.states.emplace_back(id, value);
      for (size_t n = random() % 10; n > 0; --n)
        batch.removed.push_back(timers.empty() || random() % 4 == 0
                                    ? timer()
                                    : *std::next(timers.begin(), static_cast<std::ptrdiff_t>(
                                                                     random() % timers.size())));
      for (size_t n = random() % 12; n > 0; --n) batch.added.push_back(timer());
      Write(*store, batch);
      for (const auto& [id, value] : changes) {
        if (value) states[id] = *value;
        if (!value) states.erase(id);
      }
      for (const Timer& gone : batch.removed) timers.erase(gone);
      timers.insert(batch.added.begin(), batch.added.end());
      if (!batch.meta.empty()) meta = batch.meta;
    } else if (what < 65) {
      Batch batch{.meta = bytes()};
      std::map<std::string, std::string> put;
      std::set<Timer> added;
      for (size_t n = random() % 50; n > 0; --n) put[customer()] = bytes();
      for (size_t n = random() % 50; n > 0; --n) added.insert(timer());
      for (const auto& [id, value] : put) batch.states.emplace_back(id, value);
      batch.added.assign(added.begin(), added.end());
      REQUIRE(store->Ingest(Of(batch)));
      for (const auto& [id, value] : put) states[id] = value;
      timers.insert(added.begin(), added.end());
      if (!batch.meta.empty()) meta = batch.meta;
    } else if (what < 66) {
      REQUIRE(store->Wipe());
      states.clear();
      timers.clear();
      meta.reset();
    } else if (what < 70) {
      const Status flushed = store->Flush();
      INFO((flushed ? std::string() : flushed.error().message));
      REQUIRE(flushed);
    } else if (what < 72 && subject->database) {
      // The process ends in good order and starts again.
      REQUIRE(store->Flush());
      store.reset();
      subject->database.reset();
      subject->database = OpenDatabase(subject->directory.path());
      store = OpenShard(*subject->database, 0);
    } else if (what < 85) {
      const std::string id = customer();
      const auto it = states.find(id);
      CHECK(Get(*store, id) == (it == states.end() ? std::nullopt : std::optional(it->second)));
      CHECK(Meta(*store) == meta);
    } else if (what < 93) {
      const Timer after = random() % 8 == 0 ? Timer{EventTime::Min(), ""} : timer();
      const size_t limit = random() % 30;
      std::vector<Timer> expected;
      for (auto it = timers.upper_bound(after); it != timers.end() && expected.size() < limit; ++it)
        expected.push_back(*it);
      CHECK(Timers(*store, after, limit) == expected);
    } else {
      const std::string after = random() % 8 == 0 ? "" : customer();
      const size_t limit = random() % 30;
      Pairs expected;
      for (auto it = states.upper_bound(after); it != states.end() && expected.size() < limit; ++it)
        expected.emplace_back(*it);
      CHECK(Customers(*store, after, limit) == expected);
    }
  }
  CHECK(Customers(*store, "", 100'000) == Pairs(states.begin(), states.end()));
  CHECK(Timers(*store, {EventTime::Min(), ""}, 100'000) ==
        std::vector<Timer>(timers.begin(), timers.end()));
}

// -- On disk only --------------------------------------------------------------------------------

TEST_CASE("store on disk: two shards in one database do not see each other") {
  TempDir directory;
  const auto database = OpenDatabase(directory.path());
  const auto one = OpenShard(*database, 1);
  const auto two = OpenShard(*database, 2);
  Write(*one, {.states = {{"c", "one"}}, .added = {T(1, "c")}, .meta = "one"});
  Write(*two, {.states = {{"c", "two"}, {"d", "two"}}, .added = {T(2, "c")}, .meta = "two"});
  CHECK(Get(*one, "c") == "one");
  CHECK_FALSE(Get(*one, "d"));
  CHECK(Timers(*two) == std::vector<Timer>{T(2, "c")});
  REQUIRE(one->Ingest(Of({.states = {{"e", "one"}}, .meta = "one"})));
  REQUIRE(one->Wipe());
  CHECK(Customers(*one).empty());
  CHECK(Customers(*two) == Pairs{{"c", "two"}, {"d", "two"}});
  CHECK(Meta(*two) == "two");
}

TEST_CASE("store on disk: a handle that has been taken over refuses to write, and may still read") {
  TempDir directory;
  const auto database = OpenDatabase(directory.path());
  const auto old_one = OpenShard(*database, 0);
  const auto other_shard = OpenShard(*database, 1);
  Write(*old_one, {.states = {{"c", "1"}}});
  const auto new_one = OpenShard(*database, 0);
  const auto refuses = [](const Status& status) {
    REQUIRE_FALSE(status);
    CHECK(status.error().code == ExitCode::kTemporary);
    CHECK_THAT(status.error().message, Catch::Contains("taken over"));
  };
  refuses(old_one->Write(Of({.states = {{"c", "2"}}})));
  refuses(old_one->Ingest(Of({.states = {{"c", "2"}}})));
  refuses(old_one->Wipe());
  refuses(old_one->Flush());
  CHECK(Get(*new_one, "c") == "1");
  CHECK(Get(*old_one, "c") == "1");
  Write(*new_one, {.states = {{"c", "3"}}});
  Write(*other_shard, {.states = {{"c", "4"}}});
  CHECK(Get(*old_one, "c") == "3");
}

TEST_CASE("store on disk: a handle that is taken over and wiped while it writes learns no more") {
  TempDir directory;
  const auto database = OpenDatabase(directory.path());
  auto owner = OpenShard(*database, 0);
  Batch much;  // so that it is in the middle of writing most of the time
  for (int i = 0; i < 1000; ++i) much.states.emplace_back(fmt::format("c{:03}", i), "1");
  const StoreBatch batch = Of(much);
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> writes{false};
    Status last;
    std::thread writer([&, old = std::move(owner)] {
      while (last) {
        last = old->Write(batch);
        writes = true;
      }
    });
    while (!writes) std::this_thread::yield();
    owner = OpenShard(*database, 0);
    REQUIRE(owner->Wipe());
    CHECK(Customers(*owner).empty());
    writer.join();
    CHECK_THAT(last.error().message, Catch::Contains("taken over"));
    CHECK(Customers(*owner).empty());
  }
}

TEST_CASE("store on disk: what was flushed is there when it is opened again, shard by shard") {
  TempDir directory;
  {
    const auto database = OpenDatabase(directory.path());
    for (int32_t partition = 0; partition < 3; ++partition) {
      const auto store = OpenShard(*database, partition);
      Write(*store, {.states = {{"c", fmt::format("shard {}", partition)}},
                     .added = {T(partition, "c")},
                     .meta = fmt::format("meta {}", partition)});
      REQUIRE(store->Flush());
    }
  }
  const auto database = OpenDatabase(directory.path());
  for (int32_t partition = 0; partition < 3; ++partition) {
    const auto store = OpenShard(*database, partition);
    CHECK(Get(*store, "c") == fmt::format("shard {}", partition));
    CHECK(Timers(*store) == std::vector<Timer>{T(partition, "c")});
    CHECK(Meta(*store) == fmt::format("meta {}", partition));
  }
  const auto fresh = OpenShard(*database, 7);
  CHECK(Customers(*fresh).empty());
}

TEST_CASE("store on disk: a second process, or a second time in this one, is refused") {
  TempDir directory;
  const auto database = OpenDatabase(directory.path());
  const Result<std::unique_ptr<Database>> second = Database::Open({.directory = directory.path()});
  REQUIRE_FALSE(second);
  CHECK(second.error().code == ExitCode::kTemporary);
}

TEST_CASE("store on disk: a directory that cannot be made is a mistake in the configuration") {
  TempDir directory;
  const std::string file = directory.path() + "/file";
  std::ofstream(file) << "a file";
  const Result<std::unique_ptr<Database>> database = Database::Open({.directory = file + "/below"});
  REQUIRE_FALSE(database);
  CHECK(database.error().code == ExitCode::kConfig);
  CHECK_THAT(database.error().message, Catch::Contains(file));
}

// Changes a byte in every 512 of a file's first half: of a table that is data, and the file can
// still be opened.
void Damage(const std::filesystem::path& file) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(file));
  for (std::streamoff at = std::min<std::streamoff>(100, size / 4); at < size / 2; at += 512) {
    stream.seekg(at);
    const auto byte = static_cast<char>(stream.get());
    stream.seekp(at);
    stream.put(static_cast<char>(byte ^ 0x10));
  }
}

std::vector<std::filesystem::path> Files(const std::string& directory, const std::string& word) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().filename().string().find(word) != std::string::npos)
      found.push_back(entry.path());
  }
  return found;
}

// So many customers with values that no compression shortens.
Batch Bulk(uint32_t seed, int customers) {
  std::mt19937 random(seed);
  Batch batch;
  for (int i = 0; i < customers; ++i) {
    std::string value(200, 0);
    for (char& byte : value) byte = static_cast<char>(random());
    batch.states.emplace_back(fmt::format("customer{:06}", i), value);
  }
  return batch;
}

void CheckDamaged(const Status& status) {
  REQUIRE_FALSE(status);
  CHECK(status.error().code == ExitCode::kBroken);
}
template <typename T>
void CheckDamaged(const Result<T>& result) {
  CheckDamaged(result ? Status() : Status(std::unexpected(result.error())));
}

TEST_CASE("store on disk: damaged files are noticed, and a wiped shard is as good as new") {
  TempDir directory;
  {
    const auto database = OpenDatabase(directory.path());
    Write(*OpenShard(*database, 0), Bulk(1, 5000));
  }
  for (const auto& file : Files(directory.path(), ".sst")) Damage(file);
  {
    const auto database = OpenDatabase(directory.path());
    CHECK_FALSE(database->was_damaged());
    const auto healthy = OpenShard(*database, 1);
    Write(*healthy, {.states = {{"c", "1"}}});
    const auto found_by_reading = OpenShard(*database, 0);
    CheckDamaged(found_by_reading->Customers("", 1'000'000));
    // From now on all of it, whoever asks.
    const auto store = OpenShard(*database, 0);
    CheckDamaged(store->LocalMeta());
    CheckDamaged(store->Get("nobody"));
    CheckDamaged(store->Timers({EventTime::Min(), ""}, 1));
    CheckDamaged(store->Write(Of({.states = {{"c", "2"}}})));
    CheckDamaged(store->Ingest(Of({.states = {{"c", "2"}}})));
    CheckDamaged(store->Flush());
    REQUIRE(store->Wipe());
    CHECK_FALSE(Meta(*store));
    REQUIRE(store->Ingest(Of(Bulk(2, 5000))));
    CHECK(Customers(*store, "", 1'000'000).size() == 5000);
    CHECK(Get(*healthy, "c") == "1");
  }
  const auto database = OpenDatabase(directory.path());
  CHECK(Customers(*OpenShard(*database, 0), "", 1'000'000).size() == 5000);
  CHECK(Get(*OpenShard(*database, 1), "c") == "1");
}

TEST_CASE("store on disk: damage that a compaction finds stops its shard alone") {
  TempDir directory;
  const auto database = OpenDatabase(directory.path());
  const auto healthy = OpenShard(*database, 1);
  auto store = OpenShard(*database, 0);
  const auto is_found = [&] {
    const Result<std::optional<std::string>> meta = store->LocalMeta();
    return !meta && meta.error().code == ExitCode::kBroken;
  };
  std::set<std::filesystem::path> seen;
  for (uint32_t round = 0; round < 1000 && !is_found(); ++round) {
    // Nothing of it is ever read here: only RocksDB itself does.
    for (const Status& done : {store->Write(Of(Bulk(round, 500))), store->Flush()}) {
      if (!done) CheckDamaged(done);
    }
    for (const auto& file : Files(directory.path(), ".sst")) {
      if (seen.insert(file).second) Damage(file);
    }
  }
  REQUIRE(is_found());
  Write(*healthy, {.states = {{"c", "1"}}});
  REQUIRE(store->Wipe());
  for (uint32_t round = 0; round < 20; ++round) {
    Write(*store, Bulk(round, 500));
    REQUIRE(store->Flush());
  }
  CHECK(Customers(*store).size() == 500);
}

TEST_CASE("store on disk: a database that cannot be opened is made anew, and says so") {
  const char* const missing_or_damaged =
      GENERATE("MANIFEST", "CURRENT", "gone: CURRENT", "gone: .sst");
  TempDir directory;
  {
    const auto database = OpenDatabase(directory.path());
    for (const int32_t partition : {0, 1}) Write(*OpenShard(*database, partition), Bulk(1, 100));
  }
  const std::string what = missing_or_damaged;
  INFO(what);
  const bool gone = what.starts_with("gone: ");
  const auto files = Files(directory.path(), gone ? what.substr(6) : what);
  REQUIRE_FALSE(files.empty());
  for (const auto& file : files) {
    if (gone) {
      std::filesystem::remove(file);
    } else {
      Damage(file);
    }
  }
  {
    const auto database = OpenDatabase(directory.path());
    CHECK(database->was_damaged());
    const auto store = OpenShard(*database, 0);
    CheckDamaged(store->LocalMeta());
    REQUIRE(store->Wipe());
    Write(*store, {.states = {{"c", "1"}}});
    CheckDamaged(OpenShard(*database, 1)->LocalMeta());  // each by itself
  }
  const auto database = OpenDatabase(directory.path());
  CHECK_FALSE(database->was_damaged());
  CHECK(Customers(*OpenShard(*database, 0)) == Pairs{{"c", "1"}});
}

TEST_CASE("store on disk: shards of one database may be written from several threads") {
  TempDir directory;
  const auto database = OpenDatabase(directory.path());
  std::vector<std::thread> threads;
  std::vector<std::string> failures(4);
  for (int32_t partition = 0; partition < 4; ++partition) {
    threads.emplace_back([&, partition] {
      const Result<std::unique_ptr<Store>> opened = database->OpenShard(partition);
      for (int i = 0; opened && i < 300; ++i) {
        const std::string value = fmt::format("{}", i);
        const std::vector<Timer> removed =
            i > 0 ? std::vector<Timer>{T(i - 1, "c")} : std::vector<Timer>{};
        const Status written = (*opened)->Write(Of(
            {.states = {{"c", value}}, .removed = removed, .added = {T(i, "c")}, .meta = value}));
        const Result<std::optional<std::string>> got = (*opened)->Get("c");
        if (!written || !got || *got != value)
          failures[static_cast<size_t>(partition)] = "at " + value;
        if (i % 50 == 0) (void)(*opened)->Flush();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == std::vector<std::string>(4));
  CHECK(database->MemoryBytes() > 0);
}

// -- A process that dies -------------------------------------------------------------------------

std::map<std::string, std::string> CrashWriterStates(uint64_t seed, int batches) {
  std::mt19937_64 random(seed);
  std::map<std::string, std::string> states;
  for (int batch = 1; batch <= batches; ++batch) {
    for (int i = 0; i < 30; ++i) {
      const std::string customer = fmt::format("c{}", random() % 100);
      if (random() % 5 == 0)
        states.erase(customer);
      else
        states[customer] =
            fmt::format("{} of batch {}", customer, batch) + std::string(random() % 3000, 'x');
    }
  }
  return states;
}

int CrashWriter(const std::string& directory, const std::string& seed_text) {
  const uint64_t seed = std::strtoull(seed_text.c_str(), nullptr, 10);
  std::mt19937_64 random(seed ^ 0x5eed);
  Result<std::unique_ptr<Database>> database = Database::Open(
      {.directory = directory, .block_cache_bytes = 1u << 20, .memtable_bytes = 1u << 20});
  if (!database) return 3;
  Result<std::unique_ptr<Store>> store = (*database)->OpenShard(0);
  if (!store) return 4;
  std::map<std::string, std::string> before;
  const int last = 1 + static_cast<int>(random() % 60);
  for (int batch = 1;; ++batch) {
    const std::map<std::string, std::string> after = CrashWriterStates(seed, batch);
    Batch changes{.meta = fmt::format("{}", batch)};
    for (const auto& [customer, bytes] : after) {
      if (const auto it = before.find(customer); it == before.end() || it->second != bytes)
        changes.states.emplace_back(customer, bytes);
      if (!before.contains(customer))
        changes.added.push_back(T(static_cast<int64_t>(customer.size()), customer));
    }
    for (const auto& [customer, bytes] : before) {
      if (after.contains(customer)) continue;
      changes.states.emplace_back(customer, std::nullopt);
      changes.removed.push_back(T(static_cast<int64_t>(customer.size()), customer));
    }
    if (!(*store)->Write(Of(changes))) return 5;
    if (random() % 6 == 0 && !(*store)->Flush()) return 6;
    if (batch == last) kill(getpid(), SIGKILL);
    before = after;
  }
}

TEST_CASE("store on disk: a killed process leaves the state after some batch, never a torn one") {
  const uint64_t seed = TestSeed();
  CAPTURE(seed);
  int found_something = 0;
  for (uint64_t i = 0; i < 12; ++i) {
    TempDir directory;
    const std::string own_seed = fmt::format("{}", (seed + i) & 0xffffffff);
    CAPTURE(own_seed);
    std::string program = std::filesystem::read_symlink("/proc/self/exe").string();
    std::string flag = "--crash-writer";
    std::string where = directory.path();
    std::string which = own_seed;
    char* arguments[] = {program.data(), flag.data(), where.data(), which.data(), nullptr};
    pid_t child = 0;
    REQUIRE(posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ) == 0);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGKILL);

    const auto database = OpenDatabase(directory.path());
    const auto store = OpenShard(*database, 0);
    const std::optional<std::string> meta = Meta(*store);
    const int batches = meta ? std::stoi(*meta) : 0;
    CAPTURE(batches);
    if (batches > 0) ++found_something;
    const std::map<std::string, std::string> expected =
        CrashWriterStates(std::strtoull(own_seed.c_str(), nullptr, 10), batches);
    CHECK(Customers(*store) == Pairs(expected.begin(), expected.end()));
    std::set<Timer> timers;
    for (const auto& [customer, bytes] : expected)
      timers.insert(T(static_cast<int64_t>(customer.size()), customer));
    CHECK(Timers(*store) == std::vector<Timer>(timers.begin(), timers.end()));
  }
  CHECK(found_something > 0);
}

}  // namespace heartbeatd
