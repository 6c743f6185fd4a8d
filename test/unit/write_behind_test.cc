// Which shard is written behind when, and how fast.
#include "shard/write_behind.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "given.h"
#include "metric_of.h"
#include "store/memory_store.h"
#include "store_wrap.h"

namespace heartbeatd {
namespace {

using Pace = WriteBehind::Pace;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr WriteBehindOptions kOptions{.interval = seconds(5),
                                      .interval_max = seconds(30),
                                      .unsaved_max = 1000,
                                      .store_flush_interval = seconds(60)};
const EventTime kT = At("2026-03-02T09:00:00Z");

// A disk that takes its time, which is the test's, and is full after so many batches.
class SlowStore final : public StoreWrap {
 public:
  explicit SlowStore(ManualClock* clock) : StoreWrap(MakeMemoryStore()), clock_(clock) {}

  Duration takes{0};
  int batches = 0;
  int batches_max = 1'000'000;
  int flushes = 0;
  bool fails_to_flush = false;

  Status Write(const StoreBatch& batch) override {
    if (batches >= batches_max) return Fail("the disk is full", ExitCode::kTemporary);
    ++batches;
    clock_->Advance(takes);
    return StoreWrap::Write(batch);
  }
  Status Flush() override {
    if (fails_to_flush) return Fail("the disk is broken", ExitCode::kFailed);
    ++flushes;
    return {};
  }

 private:
  ManualClock* clock_;
};

// Shards of partitions 0, 1, ... and what writes them behind.
class World {
 public:
  explicit World(int shards, size_t cache_bytes_max = 64u << 20) {
    for (int32_t partition = 0; partition < shards; ++partition) {
      auto store = std::make_unique<SlowStore>(&clock);
      stores.push_back(store.get());
      shards_.push_back(std::make_unique<Shard>(ShardOptions{.partition = partition,
                                                             .topics = {"events"},
                                                             .rules = rules_,
                                                             .time_source = TimeSource::kEvent,
                                                             .cache_bytes_max = cache_bytes_max},
                                                std::move(store), ShardMeta()));
      writing.Add(shards_.back().get(), {.position = 0, .at = clock.Now()});
    }
    offsets_.resize(shards_.size());
  }

  // A first purchase of so many more customers, committed.
  void Purchases(size_t partition, int customers) {
    Shard& shard = *shards_[partition];
    std::vector<std::string> payloads;
    for (int i = 0; i < customers; ++i) {
      const int64_t offset = offsets_[partition]++;
      payloads.push_back(JsonOf(fmt::format("customer{:05}", offset), fmt::format("e{}", offset),
                                kT, R"("type":"purchase","amount":1)"));
    }
    int64_t offset = offsets_[partition] - customers;
    for (const std::string& payload : payloads)
      shard.Offer(0, {.topic = "events", .offset = offset++, .payload = payload}, clock.Read());
    while (true) {
      const Result<size_t> done = shard.Step(1000, clock.Now());
      REQUIRE(done);
      if (*done < 1000) break;
    }
    for (size_t i = 0; shard.customers().Uncommitted(i); ++i) {
    }
    shard.OnProduced();
    shard.OnCommitted();
    writing.OnCommitted(shard.options().partition, {.position = offset, .at = clock.Now()});
  }

  // Rounds, a second apart, until a pass ends.
  void RunPass(Pace pace = Pace::kSteady) {
    for (int round = 0; round < 1000; ++round) {
      const WriteBehind::Round done = writing.Step(pace);
      REQUIRE_FALSE(done.failure);
      if (done.pass_ended) return;
      clock.Advance(seconds(1));
    }
    FAIL("no pass ends");
  }
  // The partitions whose stores were written to since the last call.
  std::vector<int> Written() {
    std::vector<int> written;
    for (size_t partition = 0; partition < stores.size(); ++partition) {
      if (stores[partition]->batches > seen_[partition])
        written.push_back(static_cast<int>(partition));
      seen_[partition] = stores[partition]->batches;
    }
    return written;
  }
  // What the store knows of itself.
  [[nodiscard]] std::optional<LocalMeta> Stored(size_t partition) const {
    const auto bytes = *stores[partition]->LocalMeta();
    if (!bytes) return {};
    return *DecodeLocalMeta(*bytes);
  }
  // Where a start would begin to read the changelog.
  [[nodiscard]] std::optional<int64_t> StoredPosition(size_t partition) const {
    return Stored(partition).transform([](const LocalMeta& m) { return m.synced.position; });
  }
  Shard* shard(size_t partition) { return shards_[partition].get(); }

  ManualClock clock = Started();
  Metrics metrics;
  WriteBehind writing{kOptions, "cluster", clock, metrics};
  std::vector<SlowStore*> stores;

 private:
  // Long ago: no deadline may count from zero.
  static ManualClock Started() {
    ManualClock clock(WallTime(1'900'000'000'000));
    clock.Advance(hours(100));
    return clock;
  }

  std::shared_ptr<const RuleSet> rules_ = RulesOf("measures: {purchases: {type: purchase}}\n");
  std::vector<std::unique_ptr<Shard>> shards_;
  std::vector<int64_t> offsets_;
  std::map<size_t, int> seen_;
};

using Partitions = std::vector<int>;

TEST_CASE("write-behind: a shard's passes are an interval apart, an hour if nothing has changed") {
  World world(1);
  world.stores[0]->takes = milliseconds(10);
  world.Purchases(0, 10);
  const WallTime committed = world.clock.Now();
  world.clock.Advance(milliseconds(4'999));
  CHECK_FALSE(world.writing.Step(Pace::kSteady).pass_ended);
  CHECK(world.Written().empty());
  world.clock.Advance(milliseconds(1));
  CHECK(world.writing.Step(Pace::kSteady).pass_ended);
  CHECK(world.Written() == Partitions{0});
  CHECK(world.StoredPosition(0) == 10);
  CHECK(world.Stored(0)->synced.at == committed);
  CHECK(world.Stored(0)->cluster_id == "cluster");

  world.clock.Advance(hours(1) - milliseconds(1));
  world.writing.Step(Pace::kSteady);
  CHECK(world.Written().empty());
  world.clock.Advance(milliseconds(1));
  CHECK(world.writing.Step(Pace::kSteady).pass_ended);
  CHECK(world.Written() == Partitions{0});
}

TEST_CASE("write-behind: while a new shard has nothing committed no pass begins") {
  World world(1);
  world.Purchases(0, 10);
  world.clock.Advance(hours(2));
  CHECK_FALSE(world.writing.Step(Pace::kHold).pass_ended);
  CHECK(world.Written().empty());
  CHECK(world.stores[0]->flushes == 1);  // what was written before is flushed all the same
}

TEST_CASE("write-behind: a pass under way goes on at any pace") {
  World world(1, 256u << 10);
  world.Purchases(0, 600);
  world.clock.Advance(seconds(31));
  CHECK_FALSE(world.writing.Step(Pace::kSteady).pass_ended);
  world.RunPass(Pace::kHold);
  CHECK(world.StoredPosition(0) == 600);
}

TEST_CASE("write-behind: in a hurry a pass of nobody is a pass, too") {
  World world(1);
  CHECK(world.writing.Step(Pace::kHurry).pass_ended);
  CHECK(world.Written() == Partitions{0});
}

TEST_CASE("write-behind: the next is the oldest, the fullest where many wait, nobody beyond 30 s") {
  struct Row {
    std::string_view what;
    std::vector<int> customers;  // of each shard; the first was saved last
    Duration later;
    Pace pace = Pace::kSteady;
    Partitions saved;
  };
  const Row rows[] = {
      {"the oldest", {10, 500, 10}, seconds(6), Pace::kSteady, {2}},
      {"the oldest that has changed", {500, 10, 0}, seconds(6), Pace::kSteady, {1}},
      {"many wait", {980, 10, 10}, seconds(6), Pace::kSteady, {0}},
      {"fewer wait", {979, 10, 10}, seconds(6), Pace::kSteady, {2}},
      {"many wait, before an interval is over", {980, 10, 10}, seconds(1), Pace::kSteady, {0}},
      {"many wait, one for too long", {980, 10, 10}, seconds(30), Pace::kSteady, {2}},
      {"not before an interval is over", {10, 500, 10}, seconds(1), Pace::kSteady, {}},
      {"in a hurry the fullest, at any time", {10, 500, 10}, seconds(1), Pace::kHurry, {1}},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    World world(3);
    for (const size_t partition : {2U, 1U, 0U}) {
      world.clock.Advance(milliseconds(10));
      REQUIRE(world.writing.SaveAll(world.shard(partition), Duration::max()));
    }
    for (size_t partition = 0; partition < 3; ++partition)
      world.Purchases(partition, row.customers[partition]);
    (void)world.Written();
    world.clock.Advance(row.later);
    world.writing.Step(row.pace);
    CHECK(world.Written() == row.saved);
  }
}

TEST_CASE("write-behind: a pass takes a twentieth of the time, and an eighth where many wait") {
  struct Row {
    std::string_view what;
    int customers;
    Duration waited;
    Pace pace = Pace::kSteady;
    int part;  // of the time, at most
  };
  const Row rows[] = {
      {"as a rule", 800, seconds(6), Pace::kSteady, 20},
      {"many wait, not twice as many as may", 1900, seconds(6), Pace::kSteady, 20},
      {"many wait", 4000, seconds(6), Pace::kSteady, 8},
      {"for too long", 800, seconds(31), Pace::kSteady, 1},
      {"in a hurry", 800, seconds(6), Pace::kHurry, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.what);
    // A pass has some batches, and nobody waits for it.
    World world(1, static_cast<size_t>(row.customers) * 320);
    world.Purchases(0, row.customers);
    world.clock.Advance(row.waited);
    world.stores[0]->takes = milliseconds(10);
    world.writing.Step(row.pace);
    REQUIRE(world.writing.crowded().empty());
    REQUIRE(world.stores[0]->batches == 1);
    const Duration wait = milliseconds(10) * (row.part - 1);
    if (wait > Duration(0)) {
      world.clock.Advance(wait - milliseconds(1));
      world.writing.Step(row.pace);
      CHECK(world.stores[0]->batches == 1);
      world.clock.Advance(milliseconds(1));
    }
    world.writing.Step(row.pace);
    CHECK(world.stores[0]->batches == 2);
  }
}

TEST_CASE("write-behind: a shard that has more in memory than it may comes first, and at once") {
  World world(2, 64u << 10);
  world.Purchases(0, 10);
  world.Purchases(1, 600);
  world.stores[1]->takes = milliseconds(10);
  world.writing.Step(Pace::kSteady);  // long before an interval is over
  CHECK(world.Written() == Partitions{1});
  CHECK(world.writing.IsCrowded(world.shard(1)));
  CHECK_FALSE(world.writing.IsCrowded(world.shard(0)));
  world.writing.Step(Pace::kSteady);  // and with no pause
  CHECK(world.Written() == Partitions{1});
  world.RunPass();
  world.writing.Step(Pace::kSteady);
  CHECK(world.writing.crowded().empty());
  CHECK(world.shard(1)->customers().unsaved() == 0);
}

TEST_CASE(
    "write-behind: a store's failure is told with its partition, and the pass goes on later") {
  World world(2, 256u << 10);
  world.Purchases(1, 600);
  world.stores[1]->batches_max = 1;
  world.clock.Advance(seconds(31));
  CHECK_FALSE(world.writing.Step(Pace::kSteady).failure);
  const WriteBehind::Round failed = world.writing.Step(Pace::kSteady);
  REQUIRE(failed.failure);
  CHECK(failed.failure->partition == 1);
  CHECK(failed.failure->error.message == "the disk is full");
  CHECK_FALSE(failed.pass_ended);
  CHECK_FALSE(world.StoredPosition(1));
  world.stores[1]->batches_max = 1'000'000;
  world.Purchases(1, 10);
  world.RunPass(Pace::kHurry);
  CHECK(world.StoredPosition(1) == 600);  // the same pass
  CHECK(world.shard(1)->customers().unsaved() == 10);
}

TEST_CASE("write-behind: a pass's record is as of its beginning") {
  World world(1, 256u << 10);
  world.Purchases(0, 600);
  world.clock.Advance(seconds(31));
  world.writing.Step(Pace::kSteady);
  world.Purchases(0, 10);
  world.RunPass();
  CHECK(world.StoredPosition(0) == 600);
  CHECK(world.shard(0)->customers().unsaved() == 10);
}

TEST_CASE("write-behind: stores are flushed once an interval, and at once after a large pass") {
  World world(2);
  world.Purchases(0, 10);
  world.clock.Advance(seconds(6));
  world.RunPass();
  CHECK(world.stores[0]->flushes == 0);
  world.clock.Advance(seconds(54));
  world.writing.Step(Pace::kSteady);
  CHECK(world.stores[0]->flushes == 1);
  CHECK(world.stores[1]->flushes == 1);
  world.writing.Step(Pace::kSteady);
  CHECK(world.stores[0]->flushes == 1);

  world.Purchases(1, 100'000);
  world.RunPass();
  CHECK(world.stores[0]->flushes == 1);
  CHECK(world.stores[1]->flushes == 2);

  world.stores[1]->fails_to_flush = true;
  world.clock.Advance(seconds(60));
  const WriteBehind::Round failed = world.writing.Step(Pace::kHold);
  REQUIRE(failed.failure);
  CHECK(failed.failure->partition == 1);
  CHECK(failed.failure->error.code == ExitCode::kFailed);
}

TEST_CASE("write-behind: a flush that fails is tried again with the next round") {
  World world(2);
  world.Purchases(0, 100'000);
  world.stores[0]->fails_to_flush = true;
  world.clock.Advance(seconds(6));
  WriteBehind::Round round;
  while (!round.pass_ended) {
    round = world.writing.Step(Pace::kHurry);
    REQUIRE((round.pass_ended || !round.failure));
  }
  REQUIRE(round.failure);
  CHECK(round.failure->partition == 0);
  round = world.writing.Step(Pace::kHurry);
  REQUIRE(round.failure);
  CHECK(world.stores[1]->flushes == 0);
  world.stores[0]->fails_to_flush = false;
  round = world.writing.Step(Pace::kHurry);
  CHECK(round.pass_ended);
  CHECK_FALSE(round.failure);
  CHECK(world.stores[0]->flushes == 1);
  CHECK(world.stores[1]->flushes == 1);
  world.writing.Step(Pace::kHurry);
  CHECK(world.stores[0]->flushes == 1);
}

TEST_CASE("write-behind: the metrics have each pass with its time, customers and bytes") {
  for (const bool whole : {false, true}) {
    CAPTURE(whole);
    World world(1, 256u << 10);
    world.Purchases(0, 600);
    world.clock.Advance(seconds(31));
    world.stores[0]->takes = seconds(2);
    if (whole) {
      REQUIRE(world.writing.SaveAll(world.shard(0), Duration::max()));
    } else {
      world.RunPass();
    }
    CHECK(MetricOf(world.metrics, "heartbeatd_save_duration_seconds_count") == "1");
    CHECK(MetricOf(world.metrics, "heartbeatd_save_duration_seconds_sum") ==
          std::to_string(2 * world.stores[0]->batches));
    CHECK(MetricOf(world.metrics, "heartbeatd_saved_customers_total") == "600");
    CHECK(MetricOf(world.metrics, "heartbeatd_saved_bytes_total") ==
          std::to_string(world.shard(0)->customers().saved_bytes()));
  }
}

TEST_CASE("write-behind: a whole pass ends at its time, and takes in one that is under way") {
  World world(1, 64u << 10);
  world.Purchases(0, 600);
  world.clock.Advance(seconds(6));
  world.writing.Step(Pace::kSteady);
  world.stores[0]->takes = seconds(1);
  const Duration until = world.clock.Monotonic() + seconds(2);
  REQUIRE(world.writing.SaveAll(world.shard(0), until));
  CHECK(world.clock.Monotonic() == until);
  CHECK(world.shard(0)->customers().unsaved() > 0);
  REQUIRE(world.writing.SaveAll(world.shard(0), Duration::max()));
  CHECK(world.shard(0)->customers().unsaved() == 0);
  CHECK(world.StoredPosition(0) == 600);
  // Nothing is left of the pass that was under way.
  world.stores[0]->takes = Duration(0);
  const int batches = world.stores[0]->batches;
  CHECK_FALSE(world.writing.Step(Pace::kSteady).pass_ended);
  CHECK(world.stores[0]->batches == batches);
}

TEST_CASE("write-behind: who is left over by a whole pass is saved by the next") {
  World world(1, 64u << 10);
  world.Purchases(0, 600);
  world.stores[0]->takes = seconds(1);
  REQUIRE(world.writing.SaveAll(world.shard(0), world.clock.Monotonic() + seconds(2)));
  world.stores[0]->batches_max = world.stores[0]->batches + 1;
  CHECK_FALSE(world.writing.SaveAll(world.shard(0), Duration::max()));
  CHECK_FALSE(world.StoredPosition(0));
  world.stores[0]->batches_max = 1'000'000;
  world.RunPass();
  CHECK(world.StoredPosition(0) == 600);
  CHECK(world.shard(0)->customers().unsaved() == 0);
}

TEST_CASE("write-behind: a whole pass of one shard leaves another's under way alone") {
  World world(2, 256u << 10);
  world.Purchases(0, 600);
  world.Purchases(1, 10);
  world.clock.Advance(seconds(31));
  world.writing.Step(Pace::kSteady);
  REQUIRE(world.shard(0)->IsSaving());
  REQUIRE(world.writing.SaveAll(world.shard(1), Duration::max()));
  CHECK(world.StoredPosition(1) == 10);
  world.RunPass(Pace::kHold);
  CHECK(world.StoredPosition(0) == 600);
}

TEST_CASE("write-behind: shards that are gone are not touched") {
  World world(1, 64u << 10);
  world.Purchases(0, 600);
  world.writing.Step(Pace::kSteady);
  REQUIRE_FALSE(world.writing.crowded().empty());
  const int batches = world.stores[0]->batches;
  world.writing.Clear();
  CHECK(world.writing.crowded().empty());
  world.clock.Advance(hours(2));
  CHECK_FALSE(world.writing.Step(Pace::kHurry).pass_ended);
  CHECK(world.stores[0]->batches == batches);
  CHECK(world.stores[0]->flushes == 0);

  // Its partition comes back.
  world.writing.Add(world.shard(0), {.position = 700, .at = world.clock.Now()});
  world.RunPass();
  CHECK(world.StoredPosition(0) == 700);
}

}  // namespace
}  // namespace heartbeatd
